"""Which ssh_config keywords are followed, which do not matter here, and which are refused.

A keyword that changes who is trusted, how a host is reached or who logs in is
either followed or refused by name; only what has no meaning for running a
deployment is passed over.  ``ForwardAgent`` is passed over on purpose: an agent
is never forwarded to a host that runs other people's build scripts.
"""

from __future__ import annotations

from .patterns import matches
from .ssh_config import SshConfig

_FOLLOWED = """
    addressfamily ciphers connecttimeout globalknownhostsfile hashknownhosts hostkeyalgorithms hostkeyalias
    hostname identitiesonly identityagent ignoreunknown kbdinteractiveauthentication kexalgorithms macs
    passwordauthentication port preferredauthentications proxycommand proxyjump pubkeyacceptedalgorithms
    pubkeyauthentication requiredrsasize serveralivecountmax serveraliveinterval stricthostkeychecking user
    userknownhostsfile
"""

# Terminals, forwardings, multiplexing, logging, and methods that are simply never tried.
_PASSED_OVER = """
    addkeystoagent batchmode canonicaldomains canonicalizefallbacklocal canonicalizemaxdots
    canonicalizepermittedcnames casignaturealgorithms channeltimeout checkhostip clearallforwardings compression
    connectionattempts controlmaster controlpath controlpersist dynamicforward enableescapecommandline
    enablesshkeysign escapechar exitonforwardfailure fingerprinthash forwardagent forwardx11 forwardx11timeout
    forwardx11trusted gatewayports gssapiauthentication gssapiclientidentity gssapidelegatecredentials
    gssapikexalgorithms gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns
    hostbasedacceptedalgorithms hostbasedkeytypes ipqos localcommand localforward loglevel logverbose
    numberofpasswordprompts obscurekeystroketiming permitremoteopen rekeylimit remoteforward requesttty sendenv
    setenv streamlocalbindmask streamlocalbindunlink syslogfacility tag tcpkeepalive tunnel tunneldevice
    updatehostkeys usekeychain visualhostkey warnweakcrypto xauthlocation
"""

_HARMLESS = frozenset(f"{_FOLLOWED} {_PASSED_OVER}".split())

# The values named here say "do not", which is what happens anyway.
_REFUSED = {
    "bindaddress": (),
    "bindinterface": (),
    "canonicalizehostname": ("no", "none"),
    "certificatefile": ("none",),
    "forkafterauthentication": ("no",),
    "hostbasedauthentication": ("no",),
    "knownhostscommand": ("none",),
    "nohostauthenticationforlocalhost": ("no",),
    "permitlocalcommand": ("no",),
    "pkcs11provider": ("none",),
    "proxyusefdpass": ("no",),
    "remotecommand": ("none",),
    "revokedhostkeys": ("none",),
    "securitykeyprovider": ("none",),
    "sessiontype": ("default",),
    "stdinnull": ("no",),
    "verifyhostkeydns": ("no",),
}


def check(config: SshConfig) -> None:
    """Raise ConfigError for the first setting that can be neither followed nor passed over."""
    tolerated = config.get("ignoreunknown")
    unknown = tolerated.value.lower().split(",") if tolerated else []
    for keyword, setting in config:
        if keyword in _HARMLESS:
            continue
        if keyword in _REFUSED:
            if setting.value.lower() not in _REFUSED[keyword]:
                raise setting.error("this is not supported here, and ignoring it would not be safe")
        elif not matches(unknown, keyword):
            raise setting.error("this keyword is not known here, and ignoring it may not be safe")
