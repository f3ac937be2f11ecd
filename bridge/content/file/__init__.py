"""A Pelican source file: its front matter in each format, and its keys."""
