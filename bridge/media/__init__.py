"""Uploads: what they are, what is taken out of them, and where they wait for their commit.

Knows neither HTTP nor git: :mod:`bridge.web.media` speaks for it, and it sees the site through
:class:`bridge.store.ContentStore`.
"""
