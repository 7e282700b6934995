"""The command line: `ets solve`, `ets demo`, `ets doctor`, `ets bench` and what goes with it."""
