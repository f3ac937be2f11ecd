"""Posts as Pelican source files, and back. Knows no git and no HTTP."""
