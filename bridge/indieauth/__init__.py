"""The built-in IndieAuth server: optional, for a single owner, stored in one SQLite file."""
