"""What keeps hosts from being deployed to, or will be noticed too late, each with the command that mends it.  Pure."""
