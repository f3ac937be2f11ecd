"""The owner signs in: password, link by mail, sessions, limits."""
