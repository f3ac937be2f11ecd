"""Posts as h-entries: read from Pelican articles, written as microformats2."""
