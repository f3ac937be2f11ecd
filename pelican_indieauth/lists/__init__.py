"""Selects and orders the posts in lists, feeds and pages."""
