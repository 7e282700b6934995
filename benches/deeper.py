"""Search on problems of 8 to 16 steps: `deeper_pair.py` makes the pair for it.

    python benches/deeper.py WORK [--split test] [--problems 90] [--width 64]
        [--strategies NAME,...] [--base rebase] [--table] [--keep]

Each setting has a file of rows of its own, gone on with where it was stopped; then tables against
REBASE or another, of all and by the number of steps. The problems are of the part that no pair was
trained on, or with `--split dev` of that on which settings are chosen. `--table` only reads what is
there; `--keep` writes what the tables read into `benches/kept_deeper/`, which is a WORK for
`--table`.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

import ets
from deeper_pair import LIMIT, deep_problems
from ets.bench.grid import Cell
from ets.bench.measure import measure
from ets.policy.bundled import BundledPolicy
from ets.prm.bundled import BundledPRM
from ets.problems.problem import Problem
from ets.strategy import Strategy
from fresh import accuracy, beside, keyed, less, less_kv, lines, shared
from kept_searches import Rows

KEPT = Path(__file__).with_name("kept_deeper")
SEED = 0
PROBLEMS_SEED = 20261130
GROUPS = {"8 to 10": range(8, 11), "11 to 13": range(11, 14), "14 to 16": range(14, 17)}
"""Numbers of steps of the second table."""


def settings(width: int) -> dict[str, Strategy]:
    """By name, what matters most first."""
    mpts = partial(ets.MPTS, width=width)
    return {
        "rebase": ets.REBASE(width=width),
        "mpts": mpts(),
        "mpts-text": mpts(clusters="text", rho=0.0),
        "ets": ets.ETS(width=width, lambda_b=1.0),
        "dvts-4": ets.DVTS(width=width, subtrees=4),
        "dvts-8": ets.DVTS(width=width, subtrees=8),
        "ets-kv": ets.ETS(width=width, lambda_b=1.0, lambda_d=0.0),
        "beam": ets.BeamSearch(width=width),
        "best-of-n": ets.BestOfN(width=width),
        # What else could be had for less KV.
        "rebase-narrow": ets.REBASE(width=width // 4),
        "mpts-narrow": ets.MPTS(width=width // 2),
        "mpts-1.5": mpts(lambda_b=1.5),
        "mpts-1": mpts(lambda_b=1.0),
        "mpts-0.5": mpts(lambda_b=0.5),
        "mpts-mass-0.75": mpts(min_mass=0.75),
    }


def main() -> None:
    """Make the searches that are missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--problems", type=int, default=90)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--strategies", type=lambda names: names.split(","), metavar="NAME,...")
    parser.add_argument("--base", default="rebase", help="what others are held against")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    every = settings(given.width)
    problems = {
        f"deep-{number:03}": problem
        for number, problem in enumerate(deep_problems(given.split, PROBLEMS_SEED, given.problems))
    }
    part = f"{'dev-' if given.split == 'dev' else ''}w{given.width}"
    if not given.table:
        texts = {
            key: Problem(problem.text, str(problem.answer), key)
            for key, problem in problems.items()
        }
        for name in given.strategies or every:
            run(given.work, f"{part}-{name}-{SEED}", every[name], texts)
    found = {
        name: keyed(
            row for row in lines(given.work, f"{part}-{name}-[0-9]") if row["id"] in problems
        )
        for name in every
    }
    if given.keep:
        for name, rows in found.items():
            keep(KEPT / f"{part}-{name}-{SEED}", rows)
    print_tables(
        {name: rows for name, rows in found.items() if rows},
        {key: len(problem.steps) for key, problem in problems.items()},
        given.base,
    )


def run(work: Path, name: str, strategy: Strategy, problems: dict[str, Problem]) -> None:
    """Search the problems that the folder has no row of."""
    folder = work / name
    folder.mkdir(exist_ok=True)
    done = {row["id"] for row in lines(work, name)}
    todo = {problem.text: problem for key, problem in problems.items() if key not in done}
    print(f"== {name}: {len(todo)} to go", flush=True)
    if not todo:
        return
    search = ets.Search(
        policy=BundledPolicy(work / "pair/policy"),
        prm=BundledPRM(work / "pair/prm"),
        strategy=strategy,
        seed=SEED,
        max_tokens=LIMIT,
    )
    cell = Cell(name, (("width", strategy.width),))
    with search, (folder / "rows.jsonl").open("a") as file:
        for result in search.map(list(todo), ordered=False):
            row = measure(cell, SEED, todo[str(result.problem)], result)
            file.write(json.dumps(row) + "\n")
            file.flush()


def keep(folder: Path, rows: Rows) -> None:
    """Write what the tables read of them, if there are any."""
    if rows:
        folder.mkdir(parents=True, exist_ok=True)
        few = (less(row) | {"hits": [any(row["hits"])]} for row in rows.values())
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in few))


def print_tables(found: dict[str, Rows], steps: dict[str, int], baseline: str) -> None:
    """As Markdown: each setting beside the baseline on the same problems, then by their steps."""
    base = found.get(baseline)
    if base is None:
        print(f"nothing has been searched by {baseline} yet")
        return
    print(
        f"| strategy | problems | right (95%) | points to {baseline} (95%) "
        "| points of the vote (95%) | KV before (95%) | peak | KV kept |\n" + "| --- " * 8 + "|"
    )
    for name, rows in found.items():
        keys = shared(rows, base)
        print(f"| {name} | {len(keys)} | {beside(keys, rows, base)} |")
    print(
        "\nBy the number of steps: right, searches with a right solution among theirs, KV before "
        "selection (95%):\n"
    )
    print("| strategy | " + " | ".join(GROUPS) + " |\n" + "| --- " * (len(GROUPS) + 1) + "|")
    for name, rows in found.items():
        cells = []
        for group in GROUPS.values():
            some = [key for key in shared(rows, base) if steps[key[1]] in group]
            if some:
                found_one = sum(any(rows[key]["hits"]) for key in some) / len(some)
                cell = f"{accuracy(some, rows)}; {found_one:.0%}"
                cells.append(cell if rows is base else f"{cell}; {less_kv(some, rows, base)}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
