"""What the searches of a benchmark on the bundled problems looked like, judged by the truth.

    python benches/tree_shapes.py .cache/results/width-16 --seed 0

For each strategy, over the selections behind the first: candidates, those that REBASE would
continue, clusters and how many of them hold right and wrong steps, leaves kept, the share of right
leaves among candidates and kept ones; then, a search: first steps that a completed solution comes
from, and how often the strategy pruned the last right leaf that REBASE would have continued.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from ets.bench.run_folder import RunFolder
from ets.demo.check import check_solution
from ets.demo.splits import split_problems, split_rows
from ets.demo.task import Problem
from ets.tree_page.reasons import verdicts
from ets.tree_search.search import TreeSearch

HEAD = (
    " searches  candidates  REBASE's  clusters  mixed   kept  right of: candidates"
    "  kept   trunks  lost the right"
)


def right_paths(search: TreeSearch, problem: Problem) -> list[bool]:
    """Whether all steps on the path to each node are right."""
    nodes = search.nodes
    texts = [(text or "").strip() for text in nodes.text]
    return [
        all(check_solution(problem, [texts[u] for u in nodes.path(v)])) for v in range(len(nodes))
    ]


def look(search: TreeSearch, problem: Problem, into: Counter[str]) -> None:
    """Add one search to the counts of its strategy."""
    nodes, right, known = search.nodes, right_paths(search, problem), verdicts(search)
    for step in list(search.kv)[1:]:
        level = [v for v in nodes.levels[step.depth] if nodes.fate[v] in ("kept", "pruned")]
        kept = [v for v in level if nodes.fate[v] == "kept"]
        shared = [v for v in level if known[v].share]
        clusters = {nodes.cluster[v] for v in level} - {-1}
        into["selections"] += 1
        into["candidates"] += len(level)
        into["kept"] += len(kept)
        into["rebase"] += len(shared)
        into["clusters"] += len(clusters)
        into["mixed"] += sum(
            len({right[v] for v in level if nodes.cluster[v] == label}) == 2 for label in clusters
        )
        into["right candidates"] += sum(right[v] for v in level)
        into["right kept"] += sum(right[v] for v in kept)
        into["lost"] += any(right[v] for v in shared) and not any(right[v] for v in kept)
    into["searches"] += 1
    into["trunks"] += len({nodes.branch[done.node] for done in search.trajectories})


def line(of: Counter[str]) -> str:
    """A row of the table, behind its label."""
    n, searches = of["selections"], of["searches"]
    clusters = f"{of['clusters'] / n:8.1f}" if of["clusters"] else f"{'':8}"
    mixed = f"{of['mixed'] / of['clusters']:6.0%}" if of["clusters"] else f"{'':6}"
    return (
        f" {searches:8}  {of['candidates'] / n:10.1f}  {of['rebase'] / n:8.1f}  "
        f"{clusters} {mixed}  {of['kept'] / n:5.1f}  "
        f"{of['right candidates'] / of['candidates']:20.0%} {of['right kept'] / of['kept']:5.0%}  "
        f"{of['trunks'] / searches:7.1f}  {of['lost'] / searches:14.1%}"
    )


def main() -> None:
    """Print a line for each strategy of the run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    run = RunFolder(given.run)
    split = run.config["configuration"]["split"] or "test"
    keys = [row["id"] for row in split_rows(split)]
    problems = dict(zip(keys, split_problems(split), strict=True))
    found: dict[str, Counter[str]] = {}
    for row in run.rows():
        tree = run.tree(row) if row["seed"] == given.seed else None
        if tree is not None:
            look(tree, problems[row["id"]], found.setdefault(row["cell"], Counter()))
    width = max(map(len, found), default=0)
    print("strategy".ljust(width) + HEAD)
    for label, counts in found.items():
        print(label.ljust(width) + line(counts))


if __name__ == "__main__":
    main()
