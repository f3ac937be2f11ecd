"""Authorization of requests: the bearer token and what its scopes allow."""
