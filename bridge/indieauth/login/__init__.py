"""Signing in: password, link by e-mail, sessions, rate limits."""
