"""Selections that every run, build and platform must give again: their form, and how to make them.

`python tests/stored_selections.py` writes `data/selections.txt` from what the extension at hand
answers. Do that only where another answer is meant, and say so in the commit. Python and Rust
(`stored_selections.rs`) read the file; one selection a line, fields apart by one space:

    width depth kind pruned_b pruned_d seed lambda_b lambda_d costs budget objective keep

`pruned_b` is `-` where nothing was pruned on the way; `costs` is `uniform` or `tokens`; `budget` is
in tokens or `-`; `objective` holds the 16 hexadecimal digits of its bits; `keep` has one digit for
each leaf.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ets import _core

PATH = Path(__file__).parent / "data" / "selections.txt"


@dataclass(frozen=True)
class Stored:
    """The arguments of one selection, and its answer."""

    width: int
    depth: int
    kind: str
    pruned: tuple[float, float] | None
    seed: int
    lambda_b: float
    lambda_d: float
    costs: str
    budget: int | None
    objective: str = ""
    keep: str = ""

    def line(self) -> str:
        pruned = "- -" if self.pruned is None else "{} {}".format(*self.pruned)
        budget = "-" if self.budget is None else self.budget
        return (
            f"{self.width} {self.depth} {self.kind} {pruned} {self.seed} {self.lambda_b} "
            f"{self.lambda_d} {self.costs} {budget} {self.objective} {self.keep}"
        )

    @classmethod
    def parse(cls, line: str) -> Stored:
        width, depth, kind, b, d, seed, lambda_b, lambda_d, costs, budget, objective, keep = (
            line.split(" ")
        )
        return cls(
            int(width), int(depth), kind, None if b == "-" else (float(b), float(d)), int(seed),
            float(lambda_b), float(lambda_d), costs, None if budget == "-" else int(budget),
            objective, keep,
        )  # fmt: skip

    def select(self) -> _core.Selection:
        made = _core.generate_instance(
            self.width, self.depth, self.kind, self.pruned, self.seed  # type: ignore[arg-type]
        )  # fmt: skip
        return _core.select_leaves(
            made["parents"],
            made["leaves"],
            made["weights"],
            made["clusters"],
            lambda_b=self.lambda_b,
            lambda_d=self.lambda_d,
            node_costs=made["tokens"].astype(np.float64) if self.costs == "tokens" else None,
            node_tokens=made["tokens"],
            kv_budget=self.budget,
        )

    def answered(self) -> Stored:
        """The same with the answer of the extension at hand."""
        found = self.select()
        bits = struct.pack(">d", found.objective).hex()
        return replace(
            self, objective=bits, keep="".join("01"[kept] for kept in found.keep.tolist())
        )


def stored_selections() -> list[Stored]:
    return [Stored.parse(line) for line in PATH.read_text().splitlines()]


def make() -> list[Stored]:
    """All kinds, widths to 128, easy and hard lambdas, many ties (integer weights), budgets."""
    kinds = [
        *("independent", "independent", "few", "inherited", "independent", "independent"),
        *("distinct", "independent", "independent", "one", "inherited"),
    ]
    cases = []
    for seed in range(42):
        hard = seed % 3 > 0
        plain = Stored(
            width=(8, 128, 24, 32, 48, 64, 96)[seed % 7],
            depth=1 + seed * 5 % 9,
            kind=kinds[seed % 11],
            pruned=((1.0, 1.4), (2.5, 1.5), None)[seed % 3],
            seed=seed,
            lambda_b=2.0 + seed * 7 % 9 / 2 if hard else 1.0,
            lambda_d=0.75 + seed * 5 % 7 / 2 if hard else (0.0, 1.0, 1.4, 2.0)[seed % 4],
            costs="tokens" if seed % 5 == 4 else "uniform",
            budget=None,
        )
        tokens = plain.select().tokens_kept or 0
        # At 0.9 the cheapest leaf fits wherever more than a leaf or two are kept.
        budget = tokens * 9 // 10 if seed % 4 == 3 and tokens > 800 else None
        cases.append(replace(plain, budget=budget).answered())
    return cases


if __name__ == "__main__":
    PATH.write_text("".join(f"{case.line()}\n" for case in make()))
