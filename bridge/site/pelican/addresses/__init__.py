"""Where Pelican puts pages, by a site's settings."""
