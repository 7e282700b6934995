"""The command line: `ets solve`, `ets demo`, `ets doctor`."""

from ets.cli.main import main

__all__ = ["main"]
