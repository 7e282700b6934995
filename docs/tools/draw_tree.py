"""Draws the picture in the README: the tree of one search, with what was kept and what was pruned.

python docs/tools/draw_tree.py --problem 3 --width 16 --out docs/pictures/tree.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

import ets
from ets import demo
from ets.answer import same_answer
from ets.tree.nodes import Nodes

mpl.use("agg")
import matplotlib.pyplot as plt  # after the backend is chosen

COLOURS = {"kept": "#1f6f8b", "pruned": "#c9c9c9", "right": "#2a9d3a", "wrong": "#d1495b"}


def rows(nodes: Nodes) -> dict[int, float]:
    """A height for every node: leaves below each other, parents amid their children."""
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(nodes.parent[1:], start=1):
        children.setdefault(parent, []).append(node)
    height: dict[int, float] = {}
    free = 0

    def place(node: int) -> float:
        nonlocal free
        below = [place(child) for child in children.get(node, [])]
        if not below:
            free += 1
        height[node] = (below[0] + below[-1]) / 2 if below else float(free)
        return height[node]

    place(0)
    return height


def draw(result: ets.SearchResult, truth: str, out: Path) -> None:
    nodes = result.tree.nodes
    height = rows(nodes)
    answers = {solution.node: solution.answer for solution in result.trajectories}

    def colour(node: int) -> str:
        if nodes.fate[node] == "done":
            answer = answers[node]
            right = answer is not None and same_answer(answer, truth)
            return COLOURS["right" if right else "wrong"]
        return COLOURS["pruned" if nodes.fate[node] in ("pruned", "left") else "kept"]

    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    for node in range(1, len(nodes)):
        parent = nodes.parent[node]
        axes.plot(
            [nodes.depth[parent], nodes.depth[node]],
            [height[parent], height[node]],
            color=colour(node),
            linewidth=0.4 + 2.2 * nodes.reward[node],
            alpha=0.8,
            zorder=1,
        )
    axes.scatter(
        nodes.depth,
        [height[node] for node in range(len(nodes))],
        s=[8 + 1.6 * tokens for tokens in (0, *nodes.tokens[1:])],
        c=[colour(node) for node in range(len(nodes))],
        zorder=2,
    )
    for node, answer in answers.items():
        axes.annotate(
            str(answer), (nodes.depth[node], height[node]), (7, 0), va="center",
            textcoords="offset points", fontsize=7, color=colour(node),
        )  # fmt: skip
    for name, label in (
        ("kept", "kept and continued"),
        ("pruned", "pruned: its KV cache is freed"),
        ("right", f"completed, right ({truth})"),
        ("wrong", "completed, wrong"),
    ):
        axes.scatter([], [], color=COLOURS[name], label=label)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    axes.set_title(
        f"{type(result.tree.strategy).__name__}, width {result.tree.strategy.width}: "
        f"{result.kv.after.sum} KV tokens kept over {len(result.kv)} steps, "
        f"{100 * result.kv_saved:.0f}% less than REBASE would have kept",
        fontsize=10,
    )
    axes.set_xlabel("step (line width: the PRM's reward; dot size: tokens)")
    axes.invert_yaxis()
    axes.yaxis.set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["left", "right", "top"]].set_visible(False)
    figure.savefig(out, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", type=int, default=3, help="its place in the test problems")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/tree.png"))
    args = parser.parse_args()
    problem = demo.problems()[args.problem]
    with ets.Search(strategy=ets.ETS(width=args.width), seed=args.seed) as search:
        result = search.solve(str(problem["problem"]))
    draw(result, str(problem["answer"]), args.out)
    print(f"{problem['problem']}\n{result.answer} (right: {problem['answer']}) -> {args.out}")


if __name__ == "__main__":
    main()
