"""The build of a release, on the host; only a build imports it."""
