"""Engines in this process: rows of KV cache, batches, the cache between calls."""
