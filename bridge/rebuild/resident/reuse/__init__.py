"""Which pages of the last build can be reused: the dependencies of each."""
