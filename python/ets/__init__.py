"""ets: efficient tree search at inference time."""
