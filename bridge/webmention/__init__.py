"""Webmentions (W3C REC 12 January 2017): what other sites say of posts, and are told of them."""
