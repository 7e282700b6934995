"""What of a solution is certain while its search still runs, and what of it may be shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ets.tree.events import Event, Expanded, Finished
from ets.tree.nodes import Nodes


def certain_text(nodes: Nodes, live: Sequence[int]) -> str:
    """The text of the steps that all paths to `live`, node ids, begin with.

    Of a search that completes the trajectories of `live` or of nodes below them, and no others, it
    is what the solution begins with, whichever that will be. Equal texts on different nodes count
    as one. Empty where `live` is.
    """
    levels: dict[int, set[int]] = {}
    for node in live:
        levels.setdefault(nodes.depth[node], set()).add(node)
    for depth in range(max(levels, default=0), 0, -1):
        above = levels.setdefault(depth - 1, set())
        above.update(nodes.parent[node] for node in levels[depth])
    certain: list[str] = []
    for depth in range(1, min((nodes.depth[node] for node in live), default=0) + 1):
        texts = {nodes.text[node] or "" for node in levels[depth]}
        if len(texts) > 1:
            break
        certain += texts
    return "".join(certain)


class Certainty:
    """Follows a search event by event; `text` only ever grows at its end."""

    def __init__(self) -> None:
        self.text = ""
        self._completed: list[int] = []

    def take(self, event: Event, nodes: Nodes) -> bool:
        """Whether `text` has grown with an event; `nodes` hold at least what it names."""
        if isinstance(event, Finished):
            self._completed.append(event.node)
        if not isinstance(event, Expanded):  # with which a step's decision is complete
            return False
        found = certain_text(nodes, [*self._completed, *event.nodes])
        grown = len(found) > len(self.text)
        self.text = found
        return grown


def certain_of(events: Iterable[Event], nodes: Nodes) -> str:
    """What is certain of a search behind all of its events."""
    certainty = Certainty()
    for event in events:
        certainty.take(event, nodes)
    return certainty.text


def shown_part(text: str, stops: Sequence[str], *, over: bool) -> str:
    """What may be shown of the beginning of a solution: what stands before the first of `stops`.

    Unless it is `over`, what may turn out to be the beginning of one of them is held back.
    """
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    if not over:  # a longer stop may turn out to begin before one that is there
        ends += [len(text) - _overlap(text, stop) for stop in stops]
    return text[: min(ends, default=len(text))]


def _overlap(text: str, stop: str) -> int:
    """The longest end of `text` that `stop` begins with."""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
