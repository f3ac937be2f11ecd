"""Copies at servers with Mastodon's API."""
