"""Git's own formats: objects, packs, trees, refs, configuration, history."""
