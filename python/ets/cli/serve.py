"""`ets serve`: the search behind OpenAI's protocol."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ets.cli.declared import Said
from ets.cli.output import Output
from ets.cli.setup import merge, settled
from ets.search.toml import check_arguments, read_toml
from ets.serve.configurations import Served
from ets.serve.keys import Keys
from ets.serve.server import Server, listening
from ets.serve.service import Service
from ets.serve.settings import Settings


def run_serve(
    config: str | None,
    said: Said,
    output: Output,
    *,
    host: str,
    port: int,
    grace: float,
    keys: str | None,
    exit_when_lost: bool,
) -> None:
    """Serve until a signal.

    # Errors
    `InputError` for what a file or the command line says, or an address that is not free; those of
    the engines.
    """
    served = served_of({} if config is None else read_toml(config), config or "", said)
    read = None if keys is None else Keys.read(keys)
    socket = listening(host, port)
    _log_to_stderr()
    with socket:
        server = Server(
            Service.of(served, read),
            host=host,
            port=port,
            grace=grace,
            exit_when_lost=exit_when_lost,
        )
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{socket.getsockname()[1]}/"
        output.note(f"{url}v1")
        output.note(f"a page to search with and to watch: {url}")
        server.run([socket])


def served_of(file: Mapping[str, Any], where: str, said: Said) -> Served:
    """What is served, by a file's tables and the command line, which wins over the arguments that
    are of all configurations."""
    arguments = dict(file)
    settings = Settings.of(arguments.pop("serve", {}))
    searches = arguments.pop("searches", {})
    check_arguments(arguments, where)
    together, _, workers = settled(merge(arguments, said))
    return Served.of(together, searches, settings, workers)


def _log_to_stderr() -> None:
    """A line for each search, and what goes wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("ets", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
