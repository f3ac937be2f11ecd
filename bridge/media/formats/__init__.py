"""File types of uploads, and removal of private metadata. Runs in a subprocess."""
