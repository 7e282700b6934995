"""`python -m ets`: the same as the command `ets`."""

from ets.cli.main import main

main()
