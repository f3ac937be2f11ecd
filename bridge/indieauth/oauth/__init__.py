"""OAuth and IndieAuth: what apps ask for, and are given."""
