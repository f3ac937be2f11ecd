"""Synchronises with the remote: fetch, rebase, push."""
