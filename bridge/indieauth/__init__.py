"""The owner's own IndieAuth server: optional, for one person, in one SQLite file."""
