"""HTTP in and out: bodies, tokens, answers."""
