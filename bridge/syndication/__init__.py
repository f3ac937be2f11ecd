"""Syndicates posts to Mastodon and Bluesky (POSSE), exactly one copy each, and imports the
responses (backfeed).

``planning`` derives jobs from the commits, ``jobs`` stores them, ``syndicator`` schedules and
``copier`` carries them out, ``writeback`` commits the results. ``compose`` turns a post into what a
network accepts; ``mastodon`` and ``bluesky`` are the clients; ``backfeed`` imports responses as
mentions.
"""
