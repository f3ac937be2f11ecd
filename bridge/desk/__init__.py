"""The desk: the owner's own pages for writing, finding and changing posts, in any browser."""
