"""HTTP below the application: bodies, forms, connections, files. Knows no Micropub and no posts."""
