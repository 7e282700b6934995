"""The commands around a benchmark: bench, dry run, tune, replay, report."""
