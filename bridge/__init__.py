"""A Micropub server beside a static site: posts become Markdown in the owner's git repo."""

__version__ = "0.1.0"
