"""The text of a post: as it is sent, as it is written into a file, and what may be in it."""
