"""Backfeed: imports the responses to copies as mentions."""
