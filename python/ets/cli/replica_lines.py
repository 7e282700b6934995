"""The replicas of a search while it goes on, a line each."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.table import Table

from ets.cli.shown_console import ShownText as Text
from ets.search.replica import Replica

_MOST = 16
"""Lines shown; a fleet of hundreds has others."""


class ReplicaLines:
    """Problems on each, KV tokens that their trees keep, tokens sampled a second, and losses.

    Nothing where there is but one.
    """

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas = replicas
        self._begin = time.perf_counter()

    def __rich__(self) -> Table:
        lines = Table.grid(padding=(0, 2))
        seconds = max(1e-9, time.perf_counter() - self._begin)
        shown = self._replicas[:_MOST] if len(self._replicas) > 1 else ()
        for replica in shown:
            state = Text()
            if replica.lost is not None:
                state = Text(f"lost: {replica.lost}", style="red")
            elif replica.drained:
                state = Text("drained", style="yellow")
            lines.add_row(
                Text(f"  {replica.name}", style="dim"),
                f"{replica.in_flight} problems",
                f"{_kv(replica)} KV",
                f"{replica.policy_tokens / seconds:,.0f} tokens/s",
                state,
            )
        if len(self._replicas) > _MOST:
            lines.add_row(Text(f"  and {len(self._replicas) - _MOST} more", style="dim"))
        return lines


def _kv(replica: Replica) -> str:
    space = replica.kv_space
    kept = f"{replica.kv_tokens:,}"
    return f"{kept} of {space:,}" if space else kept
