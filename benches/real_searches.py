"""The table of searches with a real model, of a folder of `real_model.py` or of kept ones.

    python benches/real_searches.py WORK [--width 8] [--truth AUROC] [--base dvts] [--keep]

Without MODEL and PROBLEMS: a search is a line of `wWIDTH-STRATEGY.jsonl` in WORK. `--keep` writes
into `benches/kept_real_model/` what the table reads of them, in a folder of the name of WORK, which
is a WORK of its own: hours of work, a small folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fresh import beside, keyed, less, shared
from kept_searches import Row, Rows
from prm_head import auroc_within
from real_prm import read

KEPT = Path(__file__).with_name("kept_real_model")
STRATEGIES = ("rebase", "mpts", "mpts-text", "mpts-mass-0.75", "ets", "dvts", "best-of-n")
SHOWN = 4
"""Steps of which the table has a figure each."""
SAMPLES = "best-of-n"
"""Whose solutions are independent."""


def main() -> None:
    """Keep, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--truth", type=float, metavar="AUROC")
    parser.add_argument(
        "--strategies", type=lambda names: names.split(","), help="by default those that are there"
    )
    parser.add_argument("--base", default="rebase", help="what others are held against")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    rows = Searched(given.work, given.width, given.truth)
    names = given.strategies or rows.names()
    if given.keep:
        rows.keep(KEPT / given.work.resolve().name, names)
    print_table(rows, names, given.base)


@dataclass(frozen=True, slots=True)
class Searched:
    """Where the rows of each setting are."""

    work: Path
    width: int
    truth: float | None

    def file(self, name: str) -> Path:
        """Of one setting."""
        judge = "" if self.truth is None else f"truth-{self.truth}-"
        return self.work / f"w{self.width}-{judge}{name}.jsonl"

    def of(self, name: str) -> list[Row]:
        """The searches of a setting."""
        return read(self.file(name))

    def names(self) -> list[str]:
        """The settings that have any."""
        return [name for name in STRATEGIES if self.of(name)]

    def keep(self, folder: Path, names: Sequence[str]) -> None:
        """What the table reads of them, in a folder that is read as this one is."""
        folder.mkdir(parents=True, exist_ok=True)
        there = Searched(folder, self.width, self.truth)
        for name in names:
            lines = (json.dumps(kept(name, row)) + "\n" for row in self.of(name))
            there.file(name).write_text("".join(lines))
        held_out = self.work / "auroc.json"
        if held_out.exists():
            (folder / held_out.name).write_text(held_out.read_text())


def kept(name: str, row: Row) -> Row:
    """What the table reads of a row."""
    more = ("steps", "hits", "continued", *(("tokens", "rewards") if name == SAMPLES else ()))
    return less(row) | {what: row[what] for what in more}


def print_table(searched: Searched, names: Sequence[str], baseline: str) -> None:
    """As Markdown: each beside the baseline on the problems that all have."""
    rows = {name: keyed(searched.of(name)) for name in dict.fromkeys([*names, baseline])}
    common = set.intersection(*(set(some) for some in rows.values()))
    rows = {name: {key: some[key] for key in common} for name, some in rows.items()}
    if not common:
        print("no problem has been searched by every setting yet")
        return
    print(f"{len(common)} problems{quality(searched, rows)}\n")
    base = rows[baseline]
    print(
        f"| setting | right (95%) | points to {baseline} (95%) | points of the vote (95%) "
        "| KV before (95%) | peak | KV kept | tokens | steps | solutions right "
        "| candidates continued |\n" + "| --- " * 11 + "|"
    )
    for name, some in rows.items():
        keys = shared(some, base)
        steps = np.mean([some[key]["steps"] for key in keys])
        tokens = np.mean([some[key]["usage"]["policy_tokens"] for key in keys])
        print(
            f"| {name} | {beside(keys, some, base)} | {tokens:,.0f} | {steps:.1f} "
            f"| {right_solutions(some):.0%} | {continued(some)} |"
        )


def continued(rows: Rows) -> str:
    """Of the candidates of each of the first steps, how many on average, where any was."""
    counts = [row["continued"] for row in rows.values()]
    at = ([count[step] for count in counts if len(count) > step] for step in range(SHOWN))
    return ", ".join(f"{np.mean(some):.1f}" for some in at if some)


def quality(searched: Searched, rows: dict[str, Rows]) -> str:
    """What is known of the samples and of who judges them."""
    judge = "" if searched.truth is None else f"; rollouts blurred to AUROC {searched.truth}"
    if SAMPLES not in rows:
        return judge
    samples = rows[SAMPLES]
    judged = [
        ((row["id"], depth), reward, hit)
        for row in samples.values()
        for rewards, hit in zip(row["rewards"], row["hits"], strict=True)
        for depth, reward in enumerate(rewards)
    ]
    tokens = np.mean([n for row in samples.values() for n in row["tokens"]])
    majority = np.mean([row["right"]["majority"] for row in samples.values()])
    held_out = read(searched.work / "auroc.json") if searched.truth is None else []
    return (
        f"{judge}; of independent samples {right_solutions(samples):.0%} right, {tokens:.0f} "
        f"tokens, their plain majority {majority:.1%}; AUROC of rewards within problem and step "
        f"{auroc_within(judged):.3f}"
        + "".join(f", on problems held out of training {reached:.3f}" for reached in held_out)
    )


def right_solutions(rows: Rows) -> float:
    """Of all solutions, the share that is right."""
    return float(np.mean([hit for row in rows.values() for hit in row["hits"]]))


if __name__ == "__main__":
    main()
