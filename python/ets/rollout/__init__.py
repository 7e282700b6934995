"""The search of one problem on one set of engines: its options, steps, KV budgets and result."""
