"""Seconds at n, 2 n and 4 n nodes, wide and deep: growing, JSON, the page, pickles.

    python benches/large_trees.py [--wide 250000] [--deep 12500] [--strategy REBASE ETS] [--width 4]

What is linear has ratios of about 2; garbage collection and caches make them a little larger for
wide trees. Engines answer at once, every child has the same text. `--wide 0` leaves wide trees out.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import time
from collections.abc import Callable
from functools import partial

import ets
from ets.answer.tally import Tally
from ets.tree_page.page import tree_page

STRATEGIES = {
    kind.__name__: kind for kind in (ets.REBASE, ets.ETS, ets.BeamSearch, ets.DVTS, ets.BestOfN)
}
LEVELS = 25


def grown(search: ets.TreeSearch) -> ets.TreeSearch:
    """The search at its end; rewards differ a little, so that strategies have a choice."""
    while asks := search.ask():
        search.tell(
            [
                ets.Child(ask.node, 3, 0.5 + (ask.node + i) % 97 / 1000, text="x", index=i)
                for ask in asks
                for i in ask.indices
            ]
        )
    return search


def measured(make: Callable[[], ets.TreeSearch]) -> dict[str, float]:
    """Seconds of each thing that is done with a tree."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        gc.collect()
        start = time.perf_counter()
        made = work()
        seconds[name] = time.perf_counter() - start
        return made

    search = make()
    timed("grow", lambda: grown(search))
    text = str(timed("to_json", search.to_json))
    timed("from_json", lambda: ets.TreeSearch.from_json(text))
    result = ets.SearchResult.of(search, problem="q")
    timed("tree_page", lambda: tree_page(search, Tally().count(search.trajectories)))
    state = pickle.dumps(result)
    timed("pickle", lambda: pickle.dumps(result))
    timed("unpickle", lambda: pickle.loads(state))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wide", type=int, default=250_000, help="nodes of the least wide tree")
    parser.add_argument("--deep", type=int, default=12_500, help="steps of the least deep tree")
    parser.add_argument("--strategy", choices=STRATEGIES, nargs="+", default=["REBASE", "ETS"])
    parser.add_argument("--width", type=int, default=4, help="of the deep trees")
    options = parser.parse_args()
    for name in options.strategy:
        compare(name, options)


def compare(name: str, options: argparse.Namespace) -> None:
    """Print a table for wide trees and one for deep trees."""
    kind = STRATEGIES[name]

    def search(width: int, depth: int) -> ets.TreeSearch:
        return ets.TreeSearch(kind(width=width), 87, max_tokens=10**12, max_depth=depth)

    shapes: list[tuple[str, list[Callable[[], ets.TreeSearch]]]] = [
        (
            f"width {options.width}, {options.deep:,} steps, and 2 and 4 times as many",
            [partial(search, options.width, n * options.deep) for n in (1, 2, 4)],
        ),
    ]
    if options.wide:
        wide: tuple[str, list[Callable[[], ets.TreeSearch]]] = (
            f"{options.wide:,} nodes in {LEVELS} steps, and 2 and 4 times as many",
            [partial(search, n * options.wide // LEVELS, LEVELS) for n in (1, 2, 4)],
        )
        shapes.insert(0, wide)
    for title, sizes in shapes:
        print(f"{name}, {title}")
        one, two, four = map(measured, sizes)
        for what in one:
            ratios = f"{two[what] / one[what]:.1f} {four[what] / two[what]:.1f}"
            print(f"  {what:<10}{one[what]:8.2f} {two[what]:8.2f} {four[what]:8.2f} s   x {ratios}")


if __name__ == "__main__":
    main()
