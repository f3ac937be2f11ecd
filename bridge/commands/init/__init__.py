"""``micropub-bridge init``: sets up the bridge for an existing Pelican site."""
