"""REBASE with steps of every kind, beside sampling and voting.

    python benches/step_kinds.py FOLDER [--split fresh] [--problems 100] [--width 16] [--seeds 0]

The bundled pair, whose PRM was trained on paragraphs. Every row in a run folder of its own, so that
it goes on where it was stopped; `--only N` runs one of them, `--table` only reads what is there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from fresh import accuracy, keyed, less_kv, lines, points, shared
from kept_searches import Rows
from without_prm import mean_usage

CELLS: dict[str, tuple[str, str, str]] = {
    "rebase, delimiter": ("rebase", "demo", "delimiter"),
    "rebase, tokens:16": ("rebase", "demo", "tokens:16"),
    "rebase, tokens:32": ("rebase", "demo", "tokens:32"),
    "rebase, sentences": ("rebase", "demo", "sentences"),
    "rebase, regex": ("rebase", "demo", r"regex:(?:=|is) \d+"),
    "majority": ("best-of-n", "none", "delimiter"),
    "vote weighted by the PRM": ("best-of-n", "demo", "delimiter"),
}
USED = ("policy_tokens", "policy_dropped_tokens", "policy_calls", "prm_tokens")


def main() -> None:
    """Run the grid, or go on with it, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="fresh")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", type=int)
    parser.add_argument("--table", action="store_true")
    given, more = parser.parse_known_args()
    for at, (strategy, prm, step) in () if given.table else enumerate(CELLS.values()):
        if given.only not in (None, at):
            continue
        grid = ["--split", given.split, "--problems", str(given.problems), "--no-trees"]
        grid += ["--seeds", given.seeds, "--widths", str(given.width), "--strategies", strategy]
        grid += ["--prm", prm, "--policy-option", f"step={step}"]
        command = [sys.executable, "-m", "ets", "bench", str(given.folder / f"run-{at}")]
        subprocess.run([*command, *grid, *more], check=True)
    found = {name: keyed(lines(given.folder, f"run-{at}")) for at, name in enumerate(CELLS)}
    found = {name: rows for name, rows in found.items() if rows}
    if given.only is None:
        print_table(found)


def print_table(found: dict[str, Rows]) -> None:
    """As Markdown: each beside the first row and beside `majority`, on the same problems."""
    base, majority = found[next(iter(CELLS))], found["majority"]
    print(
        "| search | right (95%) | points to REBASE by the delimiter (95%) "
        "| points to majority (95%) | policy tokens | dropped | requests | PRM tokens "
        "| most KV tokens at once | KV, times less than REBASE by the delimiter (95%) |\n"
        + "| --- " * 10
        + "|"
    )
    for name, rows in found.items():
        keys = shared(rows, base)
        peak = sum(rows[key]["kv"]["before"]["peak"] for key in keys) / len(keys)
        used = " | ".join(f"{mean_usage(keys, rows, of):,.0f}" for of in USED)
        print(
            f"| {name} | {accuracy(keys, rows)} "
            f"| {points(keys, rows, base)} | {points(shared(rows, majority), rows, majority)} "
            f"| {used} | {peak:,.0f} | {less_kv(keys, rows, base)} |"
        )


if __name__ == "__main__":
    main()
