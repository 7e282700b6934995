"""Draws the pictures of concepts.md: one step of ETS, in a search of the bundled pair.

python docs/tools/draw_step.py --out docs/pictures

It also prints the tables of that page, and a test holds them against it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

import ets
from ets import demo
from ets.tree_page.reasons import verdicts

mpl.use("agg")
import matplotlib.pyplot as plt  # after the backend is chosen
from matplotlib.axes import Axes

PROBLEM, DEPTH = 2, 2
ETS = ets.ETS(width=8, lambda_b=1.0, lambda_d=1.5)
INK, KEPT, FAINT, GOOD, BAD = "#24292f", "#1f6f8b", "#c4c9cf", "#2a9d3a", "#d1495b"
CLUSTERS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
SHADE = "#f3f5f7"


@dataclass(frozen=True)
class Step:
    """A search, and the selection among its steps of depth `DEPTH`."""

    result: ets.SearchResult
    leaves: list[int]
    """The candidates' ids, in the order in which they are drawn: by parent."""
    shares: NDArray[np.int64]
    """What REBASE would give each, int64[n]."""
    chosen: NDArray[np.bool_]
    """What the pruner keeps, bool[n]."""
    counts: list[int]
    """How often each is continued."""

    @property
    def parents(self) -> list[int]:
        return sorted({self.result.tree.nodes.parent[leaf] for leaf in self.leaves})

    @property
    def nodes(self) -> int:
        """The nodes on paths to candidates: leaves, parents, root."""
        return len(self.leaves) + len(self.parents) + 1

    def objective(self, keep: NDArray[np.bool_]) -> tuple[float, float, float]:
        """Reward share, clusters covered times `lambda_d`, and KV price, of keeping these."""
        tree = self.result.tree
        kept = [leaf for leaf, taken in zip(self.leaves, keep, strict=True) if taken]
        held = {v for leaf in kept for v in tree.nodes.path(leaf)} | {0}
        label = tree.nodes.cluster
        clusters = len({label[leaf] for leaf in self.leaves})
        covered = len({label[leaf] for leaf in kept})
        return (
            float(self.shares[keep].sum() / self.shares.sum()),
            (ETS.lambda_d or 0.0) * covered / clusters,
            ETS.lambda_b * len(held) / self.nodes,
        )


def search() -> Step:
    """The search of the page, and its selection made once more, by the pruner alone."""
    problem = str(demo.problems()[PROBLEM]["problem"])
    with ets.Search(strategy=ETS, seed=0) as searcher:
        result = searcher.solve(problem)
    tree, nodes = result.tree, result.tree.nodes
    leaves = sorted(nodes.levels[DEPTH], key=lambda node: (nodes.parent[node], node))
    of = verdicts(tree)
    shares = np.array([of[leaf].share for leaf in leaves], dtype=np.int64)
    selection = tree.tree.select(
        np.array(leaves, dtype=np.int64),
        shares.astype(np.float64),
        np.array([nodes.cluster[leaf] for leaf in leaves], dtype=np.int64),
        lambda_b=ETS.lambda_b,
        lambda_d=ETS.lambda_d or 0.0,
    )
    counts = [nodes.requested[leaf] for leaf in leaves]
    return Step(result, leaves, shares, selection.keep, counts)


def tables(step: Step) -> str:
    """The two tables of the page, as Markdown."""
    nodes = step.result.tree.nodes
    lines = [
        "| step | tokens | reward | REBASE | cluster | pruner | continued |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for leaf, share, chosen, count in zip(
        step.leaves, step.shares, step.chosen, step.counts, strict=True
    ):
        text = (nodes.text[leaf] or "").strip()
        lines.append(
            f"| {text} | {nodes.tokens[leaf]} | {nodes.reward[leaf]:.3f} | {share} "
            f"| {'ABCD'[nodes.cluster[leaf]]} | {'keeps' if chosen else 'drops'} | {count} |"
        )
    lines += [
        "",
        "| keep | reward share | + clusters | - KV price | = worth |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, keep in choices(step).items():
        share, covered, price = step.objective(keep)
        total = share + covered - price
        lines.append(f"| {name} | {share:.3f} | {covered:.3f} | {price:.3f} | {total:.3f} |")
    return "\n".join(lines)


def choices(step: Step) -> dict[str, NDArray[np.bool_]]:
    """Four ways to keep some of the candidates."""
    best = np.zeros(len(step.leaves), dtype=np.bool_)
    rewards = [step.result.tree.nodes.reward[leaf] for leaf in step.leaves]
    best[int(np.argmax(rewards))] = True
    return {
        "all of them": np.ones(len(step.leaves), dtype=np.bool_),
        "what REBASE continues": step.shares > 0,
        "the best alone": best,
        "what the pruner keeps": step.chosen,
    }


# -- the pictures ----------------------------------------------------------------------------------


def draw_tree(axes: Axes, step: Step, *, decided: bool) -> None:
    """Root, parents and candidates from left to right, each candidate with its text in its row."""
    nodes = step.result.tree.nodes
    row = {leaf: float(i) for i, leaf in enumerate(step.leaves)}
    for parent in step.parents:
        below = [row[leaf] for leaf in step.leaves if nodes.parent[leaf] == parent]
        row[parent] = sum(below) / len(below)
    row[0] = (len(step.leaves) - 1) / 2
    held = {0} | {
        v
        for leaf, count in zip(step.leaves, step.counts, strict=True)
        if count or not decided
        for v in nodes.path(leaf)
    }
    x = {0: 0.0, **dict.fromkeys(step.parents, 1.0), **dict.fromkeys(step.leaves, 2.0)}
    for node in (*step.parents, *step.leaves):
        parent, lit = nodes.parent[node], node in held
        middle = x[parent] + 0.55
        axes.plot(
            [x[parent], middle - 0.2, middle + 0.1, x[node]],
            [row[parent], row[parent], row[node], row[node]],
            color=KEPT if lit else FAINT,
            linewidth=2.2 if lit else 1.2,
            linestyle="-" if lit else (0, (2, 2)),
            zorder=1.5 if lit else 1,
        )
    for node in (0, *step.parents, *step.leaves):
        colour = CLUSTERS[nodes.cluster[node]] if node in step.leaves else INK
        lit = node in held
        axes.scatter(
            x[node], row[node], s=330, zorder=2, linewidth=1.6,
            color=colour if lit else "white", edgecolor=colour if lit else FAINT,
        )  # fmt: skip
        axes.text(
            x[node], row[node], str(nodes.tokens[node]), ha="center", va="center",
            fontsize=8, color="white" if lit else "#7a828a", zorder=3,
        )  # fmt: skip
    axes.text(0, row[0] + 0.75, "problem", ha="center", fontsize=8.5, color=INK)


def draw_rows(axes: Axes, step: Step, *, decided: bool) -> None:
    """What is known of each candidate, in columns right of the tree."""
    nodes = step.result.tree.nodes
    columns = [("reward", 6.5), ("cluster", 7.2)]
    columns += [("REBASE", 7.9), ("continued", 8.75)] if decided else [("REBASE\nwould give", 8.1)]
    for name, at in columns:
        axes.text(at, -0.75, name, ha="center", va="bottom", fontsize=8.5, color=INK)
    for i, leaf in enumerate(step.leaves):
        count, share = step.counts[i], int(step.shares[i])
        pale = decided and not count
        ink = "#8a929a" if pale else INK
        text = (nodes.text[leaf] or "").strip()
        axes.text(2.3, i, text, va="center", fontsize=8.8, color=ink)
        axes.text(6.5, i, f"{nodes.reward[leaf]:.3f}", ha="center", va="center", fontsize=9,
                  color=ink)  # fmt: skip
        axes.text(
            7.2, i, "ABCD"[nodes.cluster[leaf]], ha="center", va="center", fontsize=9,
            fontweight="bold", color=CLUSTERS[nodes.cluster[leaf]],
        )  # fmt: skip
        at = columns[2][1]
        axes.text(at, i, str(share), ha="center", va="center", fontsize=9, color=ink)
        if decided:
            axes.text(
                columns[3][1], i, str(count) if count else why(step, i), ha="center", va="center",
                fontsize=9 if count else 8, color=GOOD if count else BAD,
                fontweight="bold" if count else "normal",
            )  # fmt: skip


def why(step: Step, i: int) -> str:
    """Why the candidate at `i` is not continued."""
    if step.chosen[i]:
        return "kept, but gets none"
    return "not worth its KV"


def picture_of_candidates(step: Step, out: Path) -> None:
    figure, axes = plt.subplots(figsize=(10.4, 4.1), layout="constrained")
    frame(axes, step)
    draw_tree(axes, step, decided=False)
    draw_rows(axes, step, decided=False)
    kv = step.result.kv[DEPTH]
    axes.set_title(
        f"Step {DEPTH}: {kv.candidates} candidates hold {kv.kv_before} tokens of KV cache "
        "(number in a node: its tokens)",
        fontsize=10, loc="left", color=INK,
    )  # fmt: skip
    figure.savefig(out, dpi=130)


def picture_of_selection(step: Step, out: Path) -> None:
    figure, axes = plt.subplots(figsize=(10.4, 4.1), layout="constrained")
    frame(axes, step)
    draw_tree(axes, step, decided=True)
    draw_rows(axes, step, decided=True)
    kv = step.result.kv[DEPTH]
    axes.set_title(
        f"ETS continues {kv.kept} of them: {kv.kv_after} tokens stay in the cache; "
        f"REBASE would have kept {kv.kv_rebase}",
        fontsize=10, loc="left", color=INK,
    )  # fmt: skip
    figure.savefig(out, dpi=130)


def frame(axes: Axes, step: Step) -> None:
    axes.set_xlim(-0.4, 9.5)
    axes.set_ylim(len(step.leaves) - 0.3, -1.15)
    axes.axis("off")
    for i in range(0, len(step.leaves), 2):
        axes.axhspan(i - 0.5, i + 0.5, xmin=0.262, color=SHADE, zorder=0)


def picture_of_worth(step: Step, out: Path) -> None:
    """Each choice as a bar of what it gains and one of what it pays."""
    figure, axes = plt.subplots(figsize=(8.6, 2.9), layout="constrained")
    for i, (name, keep) in enumerate(choices(step).items()):
        share, covered, price = step.objective(keep)
        ours = name == "what the pruner keeps"
        axes.barh(i - 0.19, share, 0.34, color=KEPT, label="reward share" if not i else None)
        axes.barh(
            i - 0.19, covered, 0.34, left=share, color="#8fc1d0",
            label="clusters covered x lambda_d" if not i else None,
        )  # fmt: skip
        axes.barh(
            i + 0.19, price, 0.34, color="#e0a5ad",
            label="KV price, lambda_b x share of nodes" if not i else None,
        )  # fmt: skip
        axes.text(
            share + covered + 0.03, i, f"worth {share + covered - price:.3f}", va="center",
            fontsize=9.5, color=GOOD if ours else INK, fontweight="bold" if ours else "normal",
        )  # fmt: skip
    axes.set_yticks(range(len(choices(step))), list(choices(step)), fontsize=9.5, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, 3.05)
    axes.spines[["right", "top"]].set_visible(False)
    figure.legend(loc="outside upper left", frameon=False, fontsize=8.5, ncols=3)
    figure.savefig(out, dpi=130)


def picture_of_search(step: Step, out: Path) -> None:
    """The whole search: below each step its KV cache."""
    result, nodes = step.result, step.result.tree.nodes
    figure, (axes, bars) = plt.subplots(
        2, 1, figsize=(9.2, 5.4), layout="constrained", sharex=True, height_ratios=(3, 1.15)
    )
    row: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(nodes.parent[1:], start=1):
        children.setdefault(parent, []).append(node)

    def place(node: int) -> None:
        for child in children.get(node, []):
            place(child)
        below = [row[child] for child in children.get(node, [])]
        row[node] = sum(below) / len(below) if below else max(row.values(), default=0.0) + 1

    place(0)
    answers = {solution.node: solution for solution in result.trajectories}

    def colour(node: int) -> str:
        if node in answers:
            return GOOD if answers[node].answer == result.answer else BAD
        return KEPT if nodes.fate[node] == "kept" else FAINT

    for node in range(1, len(nodes)):
        parent = nodes.parent[node]
        axes.plot(
            [nodes.depth[parent], nodes.depth[node]], [row[parent], row[node]],
            color=colour(node), linewidth=1.6 if colour(node) != FAINT else 1.0, zorder=1,
        )  # fmt: skip
    axes.scatter(
        nodes.depth, [row[node] for node in range(len(nodes))], s=34, zorder=2,
        color=[INK if not node else colour(node) for node in range(len(nodes))],
    )  # fmt: skip
    for node, solution in answers.items():
        axes.annotate(
            f"{solution.answer}, reward {nodes.reward[node]:.2f}", (nodes.depth[node], row[node]),
            (7, 0), textcoords="offset points", va="center", fontsize=8, color=colour(node),
        )  # fmt: skip
    for shade, label in (
        (KEPT, "continued"), (FAINT, "pruned"), (GOOD, "solution, right"), (BAD, "wrong"),
    ):  # fmt: skip
        axes.scatter([], [], color=shade, s=34, label=label)
    axes.legend(loc="upper left", frameon=False, fontsize=8.5)
    axes.axvspan(DEPTH - 0.13, DEPTH + 0.13, color="#fff3cd", zorder=0)
    axes.text(DEPTH, max(row.values()) + 1.2, "the step above", ha="center", fontsize=8.5)
    axes.invert_yaxis()
    axes.yaxis.set_visible(False)
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False)
    depths = np.array([kv.depth for kv in result.kv])
    for offset, name, shade, values in (
        (-0.22, "all candidates", "#dfe3e7", [kv.kv_before for kv in result.kv]),
        (0.0, "REBASE would keep", "#e0a5ad", [kv.kv_rebase for kv in result.kv]),
        (0.22, "ETS keeps", KEPT, [kv.kv_after for kv in result.kv]),
    ):
        bars.bar(depths + offset, values, 0.2, color=shade, label=name)
    bars.set_ylabel("KV tokens", fontsize=9)
    bars.set_xlabel("step", fontsize=9)
    bars.set_xlim(-0.5, len(depths) + 0.6)
    bars.legend(loc="upper left", frameon=False, fontsize=8.5)
    bars.spines[["right", "top"]].set_visible(False)
    figure.savefig(out, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out
    step = search()
    picture_of_candidates(step, out / "step-candidates.png")
    picture_of_worth(step, out / "step-worth.png")
    picture_of_selection(step, out / "step-selection.png")
    picture_of_search(step, out / "step-search.png")
    print(tables(step))


if __name__ == "__main__":
    main()
