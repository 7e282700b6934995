"""Mass-preserving search on problems that nobody looked at before: `make results-fresh`.

    python benches/fresh.py FOLDER [--seeds 0,1,2] [--problems 300] [--width 64] [--table] [--keep]

Every strategy in a run folder of its own for each seed, so that it goes on where it was stopped;
then one table against REBASE (or `--base NAME`) over the problems that each has searched, and
others by the problems' number of steps. The settings were fixed before, on the dev split; the split
`fresh` was made for this (`ets.demo.splits`). `--table` only reads what is there: searches of the
folder, and for those that it lacks the ones kept in `kept_searches.csv`, into which `--keep` writes
those of the folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ets.bench.statistics import paired_bootstrap, paired_ratio, wilson
from ets.demo.splits import split_rows
from kept_searches import Key, Row, Rows, kept, write

DEPTHS = range(3, 9)
"""Steps of the bundled problems."""
CELLS: dict[str, list[str]] = {
    "rebase": ["--strategies", "rebase"],
    "mpts": ["--strategies", "mpts"],
    "mpts-text": ["--strategies", "mpts", "--sweep", "clusters=text", "--sweep", "rho=0"],
    "dvts-4": ["--strategies", "dvts", "--sweep", "subtrees=4"],
    "dvts-8": ["--strategies", "dvts", "--sweep", "subtrees=8"],
    "ets": ["--strategies", "ets", "--lambda-b", "1"],
    "ets-kv": ["--strategies", "ets-kv", "--lambda-b", "1"],
    "beam": ["--strategies", "beam"],
    "best-of-n": ["--strategies", "best-of-n"],
}
"""What is compared, what matters most first."""
Measure = Callable[[Row], float]


def main() -> None:
    """Make the runs that are missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--table", action="store_true")
    parser.add_argument(
        "--base", choices=CELLS, default="rebase", help="what others are held against"
    )
    parser.add_argument("--keep", action="store_true", help="write them into kept_searches.csv")
    given, more = parser.parse_known_args()
    seeds = given.seeds.split(",")
    if not given.table:
        for seed in seeds:
            make_runs(given.folder, given.width, seed, given.problems, more)
    if given.keep:
        write({(given.width, name): searched(given.folder, given.width, name) for name in CELLS})
    found = {}
    for name in CELLS:
        rows = rows_of(given.folder, given.width, name)
        found[name] = {key: row for key, row in rows.items() if str(key[0]) in seeds}
    print_tables({name: rows for name, rows in found.items() if rows}, given.base)


def make_runs(folder: Path, width: int, seed: str, problems: int, more: list[str]) -> None:
    """Every strategy at one width with one seed, each in a folder that is gone on with."""
    for name, cell in CELLS.items():
        run = folder / f"w{width}-{name}-{seed}"
        grid = ["--split", "fresh", "--problems", str(problems)]
        grid += ["--seeds", seed, "--widths", str(width), "--no-trees"]
        command = [sys.executable, "-m", "ets", "bench", str(run), *grid, *cell, *more]
        print(f"== {run.name}", flush=True)
        subprocess.run(command, check=True)


def rows_of(folder: Path, width: int, name: str) -> Rows:
    """The searches of one strategy: those of the folder, and kept ones that it lacks."""
    return kept(width, name) | searched(folder, width, name)


def searched(folder: Path, width: int, name: str) -> Rows:
    """The searches of one strategy that the folder has, with the right answer's vote share."""
    rows = keyed(lines(folder, f"w{width}-{name}-[0-9]*"))
    return {key: row | {"vote": right_share(row)} for key, row in rows.items()}


def keyed(rows: Iterable[Row]) -> Rows:
    """By seed and problem."""
    return {(row["seed"], row["id"]): row for row in rows}


def lines(folder: Path, pattern: str) -> Iterator[Row]:
    """The whole rows of run folders; a run under way may have a part of one."""
    for path in sorted(folder.glob(f"{pattern}/rows.jsonl")):
        for line in path.read_text("utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def print_tables(found: dict[str, Rows], baseline: str) -> None:
    """As Markdown: each strategy beside another one on the same problems and seeds."""
    base = found[baseline]
    print(
        f"| strategy | searches | right (95%) | points to {baseline} (95%) "
        "| points of the vote (95%) | KV before (95%) | peak | KV kept |\n| --- "
        + "| --- " * 7
        + "|"
    )
    for name, rows in found.items():
        keys = shared(rows, base)
        print(f"| {name} | {len(keys)} | {beside(keys, rows, base)} |")
    steps = {row["id"]: row["steps"] for row in split_rows("fresh")}
    for title, compare in (("KV before selection", less_kv), (f"Points to {baseline}", points)):
        print(f"\n{title} by the number of steps (95%):\n")
        print("| strategy | " + " | ".join(map(str, DEPTHS)) + " |\n| --- " + "| --- " * 6 + "|")
        for name, rows in found.items():
            if name == baseline:
                continue
            keys = shared(rows, base)
            cells = []
            for count in DEPTHS:
                some = [key for key in keys if steps[key[1]] == count]
                cells.append(compare(some, rows, base) if some else "")
            print(f"| {name} | " + " | ".join(cells) + " |")


def beside(keys: list[Key], rows: Rows, base: Rows) -> str:
    """Cells: right, points to the base, points of the vote, KV before, at its peak, kept."""
    if rows is base:
        return f"{accuracy(keys, rows)} | | | 1.00x | 1.00x | 1.00x"
    mine, theirs = [rows[key] for key in keys], [base[key] for key in keys]
    return (
        f"{accuracy(keys, rows)} "
        f"| {points(keys, rows, base)} | {points(keys, rows, base, right_share)} "
        f"| {less_kv(keys, rows, base)} "
        f"| {times(theirs, mine, 'before', 'peak')} | {times(theirs, mine, 'after', 'sum')}"
    )


def shared(rows: Rows, base: Rows) -> list[Key]:
    """Seed and problem of what both searched, in order, of the seeds that got furthest."""
    both = sorted(rows.keys() & base.keys())
    count = Counter(seed for seed, _ in both)
    return [key for key in both if count[key[0]] == max(count.values())]


def by_problem(keys: list[Key], rows: list[Row], value: Measure) -> NDArray[np.float64]:
    """float64[problems, seeds]."""
    seeds = len({seed for seed, _ in keys})
    values = np.array([value(row) for row in rows], dtype=np.float64)
    table: NDArray[np.float64] = values.reshape(seeds, -1).T
    return table


def accuracy(keys: list[Key], rows: Rows) -> str:
    """The share of problems that are right, seeds averaged, with Wilson's interval."""
    right = by_problem(keys, [rows[key] for key in keys], is_right).mean(axis=1)
    known = wilson(float(right.sum()), len(right))
    return f"{known.value:.1%} ({known.low:.1%} to {known.high:.1%})"


def is_right(row: Row) -> float:
    """Whether the weighted vote is."""
    return float(row["right"]["weighted"])


def right_share(row: Row) -> float:
    """The right answer's share of the weighted vote: as kept, or from the solutions."""
    if "vote" in row:
        return float(row["vote"])
    total = sum(row["scores"])
    hits = sum(score for score, hit in zip(row["scores"], row["hits"], strict=True) if hit)
    return hits / total if total else 0.0


def less(row: Row) -> Row:
    """What a table of any folder reads of a row: of the solutions, their share of the vote."""
    before, after = row["kv"]["before"], row["kv"]["after"]
    return {
        "seed": row["seed"],
        "id": row["id"],
        "right": {how: row["right"][how] for how in ("weighted", "majority")},
        "vote": right_share(row),
        "kv": {
            "before": {what: before[what] for what in ("sum", "peak")},
            "after": {"sum": after["sum"]},
        },
        "usage": {"policy_tokens": row["usage"]["policy_tokens"]},
    }


def kv(row: Row) -> float:
    """KV tokens before selection, summed over steps: the paper's figure."""
    return float(row["kv"]["before"]["sum"])


def less_kv(keys: list[Key], rows: Rows, base: Rows) -> str:
    """How many times as much KV the base has before selection, with the interval."""
    mine, theirs = [rows[key] for key in keys], [base[key] for key in keys]
    ratio = paired_ratio(by_problem(keys, theirs, kv), by_problem(keys, mine, kv))
    return f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"


def points(keys: list[Key], rows: Rows, base: Rows, of: Measure = is_right) -> str:
    """How many points more than the base, with the interval, of what `of` measures in [0, 1]."""
    mine, theirs = [rows[key] for key in keys], [base[key] for key in keys]
    more = paired_bootstrap(by_problem(keys, mine, of), by_problem(keys, theirs, of))
    return f"{100 * more.value:+.1f} ({100 * more.low:+.1f} to {100 * more.high:+.1f})"


def times(base: list[Row], mine: list[Row], when: str, what: str) -> str:
    """How many times as much the base has."""
    total = [sum(row["kv"][when][what] for row in rows) for rows in (base, mine)]
    return f"{total[0] / total[1]:.2f}x"


if __name__ == "__main__":
    main()
