"""Uploads: type detection, removal of metadata, storage until their commit.

Knows neither HTTP nor git: :mod:`bridge.web.media` is the endpoint, and the repo is accessed
through :class:`bridge.store.ContentStore`.
"""
