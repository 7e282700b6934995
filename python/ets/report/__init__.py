"""Pages to look at: the tree of a search, a benchmark."""
