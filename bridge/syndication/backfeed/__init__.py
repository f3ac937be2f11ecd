"""Answers to copies, taken home as mentions."""
