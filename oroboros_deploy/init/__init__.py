"""What a repository looks like, and the settings that fit it: the files that `init` writes.  Nothing here acts."""
