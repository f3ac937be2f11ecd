"""Slugs, paths, titles and labels."""
