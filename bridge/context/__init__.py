"""Reply contexts: excerpts of the pages that a post replies to, likes, reposts or bookmarks.

They are fetched after the request was answered and parsed in a subprocess; the results are h-cites
with plain text and http(s) URLs of limited length.
"""
