"""The site's posts: which there are, their addresses, and what their files say."""
