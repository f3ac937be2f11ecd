"""A fake Mastodon and Bluesky server on this machine, for trying syndication out."""
