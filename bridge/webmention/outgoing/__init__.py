"""Outgoing webmentions: changed posts, their links, the outbox, delivery."""
