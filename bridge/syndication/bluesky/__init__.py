"""Copies at Bluesky, and at other servers of AT protocol."""
