"""What a network gets of a post: its text counted and cut, its pictures, its card."""
