"""A network on this machine that looks like Mastodon and like Bluesky, for trying copies out."""
