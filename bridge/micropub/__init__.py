"""The Micropub protocol as data: no HTTP, no files, no git."""
