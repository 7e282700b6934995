"""Benchmarks: strategies side by side over a data set, resumable, with intervals."""
