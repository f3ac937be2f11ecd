"""The languages a post is written in: a note's plain text, Markdown and HTML."""
