"""The host agent: what runs on the host, on its own Python (3.9 or later), standard library only.

It travels as one zipapp (see ``oroboros_deploy/remote/agent.py``) and answers one request
per call: ``facts`` reads, ``build`` makes a sealed release, ``activate`` switches to
one and undoes the switch when the gate fails, ``follow`` shows an activation again.
"""
