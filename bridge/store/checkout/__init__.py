"""A version of the site as files on disk, with its submodules and large files."""
