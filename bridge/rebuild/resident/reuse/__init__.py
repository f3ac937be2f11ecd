"""Which pages of the last build are still right: what each was made from."""
