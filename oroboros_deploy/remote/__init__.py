"""One host, seen from the control node: its connection, its agent, what it answers."""
