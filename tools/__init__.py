"""Development tools, run by hand or by make."""
