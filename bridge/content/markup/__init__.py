"""The text of a post: encoding it for a file, decoding it, and checking what it may contain."""
