"""Copies of posts at Mastodon and Bluesky, exactly one each, and the responses that they get.

``text`` counts and cuts as the networks do, ``page`` reads a post's page, ``compose`` makes of it
what a network gets. ``mastodon`` and ``bluesky`` speak to the networks; ``jobs`` remembers what is
to be done, and ``syndicator`` does it.
"""
