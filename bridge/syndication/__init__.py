"""Syndicates posts to Mastodon and Bluesky (POSSE), exactly one copy each, and imports the
responses (backfeed).

``jobs`` derives jobs from commits, stores them, carries them out and commits the results;
``syndicator`` schedules them. ``accounts`` has the clients of the accounts in the settings,
``connector`` connects accounts. ``compose`` turns a post into what a network accepts; ``mastodon``
and ``bluesky`` are the clients; ``backfeed`` imports responses as mentions.
"""
