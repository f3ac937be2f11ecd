"""The form of a post: what it shows and takes in, and the request that it makes."""
