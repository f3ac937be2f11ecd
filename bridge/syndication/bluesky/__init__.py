"""Copies at Bluesky and other AT Protocol servers."""
