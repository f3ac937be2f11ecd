"""What a post, its file and its labels are called."""
