"""Safe access to other sites' pages: fetching, parsing, URLs."""
