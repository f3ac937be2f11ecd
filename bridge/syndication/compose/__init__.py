"""Composes what a network gets of a post: text within its limits, photos, link card."""
