"""What makes a bare host ready for the first deploy: facts of the host in, actions out.  Pure."""
