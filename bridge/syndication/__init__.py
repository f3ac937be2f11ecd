"""Copies of posts at Mastodon and Bluesky, exactly one each, and the answers that they get there.

``planning`` sees what a version of the site brings to do, ``jobs`` remembers it, ``syndicator``
does it, and ``writeback`` commits what has become of it. ``compose`` makes of a post what a network
gets; ``mastodon`` and ``bluesky`` speak to the networks, ``backfeed`` takes the answers home.
"""
