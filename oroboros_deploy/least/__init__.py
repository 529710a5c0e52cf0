"""What stands between a deploy login and root, where a host was made ready with least privilege: one file, root's."""
