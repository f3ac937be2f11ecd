"""A post as an h-entry: read from its article, written as microformats."""
