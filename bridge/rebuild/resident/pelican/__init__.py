"""Patched parts of Pelican that do no work twice."""
