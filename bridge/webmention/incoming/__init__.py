"""Incoming webmentions: received, verified, moderated, committed."""
