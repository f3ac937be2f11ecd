"""Request handlers of the Micropub and media endpoints."""
