"""The pages of a run's trees, beside its report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ets.answer.tally import Tally
from ets.bench.contents import finished_rows, grid_of, tree_of
from ets.bench.kept_file import write_whole
from ets.bench.packed_tree import tree_name
from ets.bench.run_folder import Key, RunFolder, key_of
from ets.bench.summary import Row
from ets.checks import check_choice, check_int
from ets.dialogue import transcript
from ets.report.problem_data import by_problem, outcome
from ets.tree_page.mathml import remembering
from ets.tree_page.page import tree_page

TreeChoice = Literal["all", "wrong", "none"]
"""Of every search; of all searches of the problems that some search got wrong; of none."""
MOST = 500
"""Pages of the problems that some search got wrong, unless told otherwise: tens of megabytes."""
FOLDER = "trees"


@dataclass(frozen=True, slots=True)
class TreePages:
    """Which searches get a page, and where."""

    run: RunFolder
    rows: tuple[Row, ...]
    note: str
    """What there is and what is left out, in a line."""

    @property
    def links(self) -> dict[Key, str]:
        """By search, from the report's folder."""
        return {key_of(row): f"{FOLDER}/{file_name(row)}" for row in self.rows}

    def write(self, folder: Path) -> None:
        """The pages below the report's folder.

        # Errors
        `InputError` for a tree that cannot be read.
        """
        grid = grid_of(self.run)
        tally = Tally.of(grid.search)
        given = {problem.key: problem.posed for problem in self.run.problems()}
        if self.rows:
            (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        convert = remembering()  # strategies sample the same steps of a problem
        for row in self.rows:
            tree = tree_of(self.run, row, grid, given)
            if tree is not None:
                page = tree_page(
                    tree,
                    tally.count(tree.trajectories),
                    problem=transcript(given.get(row["id"], "")),
                    title=f"{row['id']}: {row['cell']}, seed {row['seed']}",
                    convert=convert,
                )
                write_whole(folder / FOLDER / file_name(row), page.encode("utf-8", "replace"))


def choose_trees(run: RunFolder, choice: TreeChoice, *, most: int | None = None) -> TreePages:
    """Problem by problem, all of its searches, while there are at most `most` pages.

    None stands for 500 of `wrong` and for no limit of `all`.

    # Errors
    `InputError` for another choice, or `most` below 1.
    """
    check_choice("trees", choice, TreeChoice)
    if most is not None:
        check_int("most_trees", most, 1, 2**31)
    if choice == "none":
        return TreePages(run, (), "")
    grid = grid_of(run)
    rows = finished_rows(run, grid)
    vote = grid.search.get("vote", "weighted")
    problems = by_problem(rows, [problem.key for problem in run.problems()])
    wanted = [g for g in problems.values() if choice == "all" or outcome(g, vote) != "right"]
    limit: float = most or (MOST if choice == "wrong" else float("inf"))
    chosen: list[Row] = []
    done = 0
    for group in wanted:
        kept = [row for row in group if run.has_tree(row)]
        if len(chosen) + len(kept) > limit:
            break
        chosen += kept
        done += 1
    return TreePages(run, tuple(chosen), _note(choice, len(chosen), done, len(wanted)))


def file_name(row: dict[str, Any]) -> str:
    """A name to be recognised by, of letters that any system and any link takes, and unique."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", f"{row['id']}-{row['cell']}-seed-{row['seed']}")
    return f"{words.strip('-.')[:80]}-{tree_name(row).partition('.')[0][:10]}.html"


def _note(choice: TreeChoice, pages: int, done: int, wanted: int) -> str:
    if not wanted:
        return "No search is wrong, so no trees are shown; --trees all shows every one."
    if done and not pages:
        return "This run holds no trees."
    of = "" if choice == "all" else " that some search got wrong"
    if done == wanted:
        return f"Trees: {pages:,}, of all {wanted:,} problems{of}."
    return (
        f"Trees: {pages:,}, of the first {done:,} of {wanted:,} problems{of}; --most-trees says "
        "how many."
    )
