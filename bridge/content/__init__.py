"""Posts as Pelican source files and back, and where Pelican puts them. Knows no git, no HTTP."""
