"""Verification of a source: does it link to the target, and what does it say? Repeated later."""
