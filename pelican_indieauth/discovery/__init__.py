"""The links by which apps find the site's endpoints, in pages and in HTTP headers."""
