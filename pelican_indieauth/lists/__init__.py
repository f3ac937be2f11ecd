"""Which posts are in which list, feed and page."""
