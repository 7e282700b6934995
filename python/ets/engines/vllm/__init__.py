"""vLLM in this process: options, start, requests, counters."""
