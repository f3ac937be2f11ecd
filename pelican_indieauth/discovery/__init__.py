"""Endpoint discovery: links in pages and in HTTP headers."""
