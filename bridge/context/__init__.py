"""Reply contexts: what the pages say that a post replies to, likes, repeats or bookmarks.

Found out after the answer has gone out, in a process of its own, and handed on as h-cites that
hold nothing but plain text and http(s) URLs of bounded length.
"""
