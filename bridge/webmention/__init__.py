"""Webmentions (W3C REC 12 January 2017), received and sent."""
