"""The command line: `ets solve`, `ets demo`."""

from ets.cli.app import main

__all__ = ["main"]
