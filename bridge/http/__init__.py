"""HTTP as bytes: bodies, forms, connections, files. Knows no Micropub and no posts."""
