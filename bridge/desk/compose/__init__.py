"""The form of a post: its page, its submission, and the request made from it."""
