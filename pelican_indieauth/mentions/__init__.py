"""``article.mentions``: the responses that other sites have sent, read from files."""
