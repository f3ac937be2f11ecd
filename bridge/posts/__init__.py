"""The site's posts: which there are, where they live, and what their files say."""
