"""Fetches and parses other sites' pages safely."""
