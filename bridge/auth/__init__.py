"""Who asks: the bearer token of a request, and what it allows."""
