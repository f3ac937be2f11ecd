"""Pelican's own parts, changed such that they do no work twice."""
