"""Syndication jobs: derived from commits, stored, carried out, and their results committed."""
