"""Reply contexts: excerpts of the pages that a post replies to, likes, reposts or bookmarks.

Found out after the answer has gone out, in a process of its own, and handed on as h-cites that
hold nothing but plain text and http(s) URLs of bounded length.
"""
