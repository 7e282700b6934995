"""A KV saving where the engine stores equal paths once, as prefix caches do, and what it reads.

    python benches/shared_paths.py [--problems 40] [--width 64]

The bundled pair on problems of the split `fresh`, seed 0. KV before selection, summed over steps
and searches: of the nodes on paths to candidates, as the paper counts; and with nodes of one text
below one path counted once. Then the KV tokens that attention reads while the steps are sampled:
where a shared path is read once for all that continue it (tree or cascade attention), and where
each sequence reads its own (plain paged attention). Reductions are REBASE's sum by the strategy's,
with a paired bootstrap.
"""

from __future__ import annotations

import argparse

import numpy as np

import ets
from ets.bench.statistics import paired_ratio
from ets.demo.splits import split_rows
from ets.strategy import Strategy
from ets.tree_search.search import TreeSearch


def kv_before(tree: TreeSearch) -> tuple[int, int]:
    """Tokens of a search by nodes and by distinct paths, summed over its steps."""
    nodes = tree.nodes
    same = distinct_paths(tree)
    by_nodes = by_paths = 0
    for step in tree.kv:
        level = [v for v in nodes.levels[step.depth] if nodes.fate[v] in ("kept", "pruned", "left")]
        above = {u for v in level for u in [0, *nodes.path(v)]}
        by_nodes += sum(nodes.tokens[u] for u in above)
        by_paths += sum(nodes.tokens[u] for u in {same[u] for u in above})
    if by_nodes != tree.kv.before.sum:
        raise RuntimeError(f"counted {by_nodes} KV tokens, the search {tree.kv.before.sum}")
    return by_nodes, by_paths


def reads(tree: TreeSearch) -> tuple[int, int]:
    """KV tokens read by a shared path once, and by each sequence; a step's are sampled together.

    A sequence that samples its n-th token of a step reads its path and the n of the step.
    """
    nodes = tree.nodes
    once = each = 0
    for depth in range(1, len(nodes.levels)):
        passes: dict[int, int] = {}
        for node in nodes.levels[depth]:
            count = nodes.tokens[node]
            own = count * (count + 1) // 2
            above = [0, *nodes.path(nodes.parent[node])]
            once += own
            each += own + count * sum(nodes.tokens[u] for u in above)
            for u in above:
                passes[u] = max(passes.get(u, 0), count)
        once += sum(nodes.tokens[u] * count for u, count in passes.items())
    return once, each


def distinct_paths(tree: TreeSearch) -> list[int]:
    """For each node the first one with the same texts on its path."""
    nodes = tree.nodes
    first: dict[tuple[int, str | None], int] = {}
    same = [0]
    for node in range(1, len(nodes)):
        same.append(first.setdefault((same[nodes.parent[node]], nodes.text[node]), node))
    return same


def main() -> None:
    """Search, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--width", type=int, default=64)
    given = parser.parse_args()
    width = given.width
    strategies: dict[str, Strategy] = {
        "rebase": ets.REBASE(width=width),
        "ets": ets.ETS(width=width),
        "dvts-8": ets.DVTS(width=width, subtrees=8),
        "mpts": ets.MPTS(width=width),
        "mpts-text": ets.MPTS(width=width, clusters="text", rho=0.0),
    }
    problems = [str(row["problem"]) for row in split_rows("fresh")[: given.problems]]
    measures = ("KV before", "paths once", "reads, shared once", "reads, each its own")
    print("| strategy | " + " | ".join(f"{name} | less (95%)" for name in measures) + " |")
    print("| --- " + "| --- | --- " * len(measures) + "|")
    base = None
    for name, strategy in strategies.items():
        with ets.Search(strategy=strategy) as search:
            trees = [result.tree for result in search.map(problems)]
        found = np.array([[*kv_before(tree), *reads(tree)] for tree in trees], float)
        base = found if base is None else base
        cells = []
        for column in range(len(measures)):
            ratio = paired_ratio(base[:, column, None], found[:, column, None])
            cells.append(f"{found[:, column].mean():,.0f}")
            cells.append(f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
