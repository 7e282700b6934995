"""`ets solve`: one problem with a live view, or many."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ets.cli.live import LiveView
from ets.cli.output import Output
from ets.cli.replica_lines import ReplicaLines
from ets.cli.setup import Setup
from ets.cli.shown_console import ShownText as Text
from ets.cli.summary import (
    is_right,
    print_result,
    print_totals,
    print_votes,
    result_line,
)
from ets.cli.waiting import Waiting
from ets.cli.watch import Watch
from ets.errors import EngineLostError, InputError
from ets.problems.problem import Problem
from ets.rollout.result import Answered, SearchResult
from ets.shown.text import shown_text


def check_page(path: str, many: bool) -> Path:
    """Where the tree's page is to be written, before a search is spent on it.

    # Errors
    `InputError` for several problems, or a folder that is not there.
    """
    if many:
        raise InputError(
            f"--tree goes with one problem, got a file of them and --tree {path}; ets bench keeps "
            "the trees of many"
        )
    page = Path(path).expanduser()
    if not page.parent.is_dir():
        raise InputError(f"--tree must name a file in a folder that is there, got {path}")
    if page.is_dir():
        raise InputError(f"--tree must name a file, {path} is a folder")
    return page


def solve_one(setup: Setup, problem: Problem, output: Output, page: Path | None) -> None:
    """Search one problem; an interrupt shows what was found so far and is raised again.

    # Errors
    `EngineLostError` behind the answer so far, where the loss of an engine ended the search.
    """
    watch = Watch(setup.strategy.width)
    view = LiveView(setup.title, problem.text, watch, output.progress.height)
    try:
        live = Live(view, console=output.progress, refresh_per_second=8)
        with live if output.live else nullcontext(), Waiting(output, clock=False):
            try:
                result = _watched(setup, problem, watch)
            finally:
                view.running = False
    except KeyboardInterrupt:
        _show_partial(setup, problem, watch, output)
        raise
    if output.as_json:
        output.json(_record(problem, result, 1))
    else:
        print_result(output.console, result)
    if page is not None:
        # Behind the answer, so that a full disk does not cost it.
        result.save_tree(page)
        if not output.as_json:
            output.console.print(f"\nThe tree: {page}", markup=False, soft_wrap=True)
    _raise_if_lost([result])


def _watched(setup: Setup, problem: Problem, watch: Watch) -> SearchResult:
    with setup.open() as search:  # which, when it closes, ends an interrupted stream too
        if search.options.until is not None:
            return search.solve(problem.posed)
        stream = search.stream(problem.posed)
        for event in stream:
            watch.note(event, stream.tree)
            if isinstance(event, Answered):
                return event.result
    raise RuntimeError("the search ended without an answer")


def _show_partial(setup: Setup, problem: Problem, watch: Watch, output: Output) -> None:
    votes = watch.votes_so_far(
        setup.arguments.get("vote", "weighted"), setup.arguments.get("answer_pattern")
    )
    count = sum(row.done for row in watch.rows)
    if output.as_json:
        output.json(
            {
                **_head(problem, 1),
                "interrupted": True,
                "answer": votes[0].answer if votes else None,
                "votes": [asdict(vote) for vote in votes],
                "best_step": watch.best,
                "steps": len(watch.rows),
            }
        )
        return
    console = output.console
    console.print()
    if votes:
        console.print(
            Text.assemble(
                "Interrupted; so far  ",
                (votes[0].answer, "bold yellow"),
                (f"    {count} of {watch.width} solutions complete\n", "dim"),
            )
        )
        print_votes(console, votes)
        return
    console.print(Text(f"Interrupted after {len(watch.rows)} steps; no solution complete yet"))
    if watch.best:
        console.print(Text.assemble(("best step so far  ", "dim"), " ".join(watch.best.split())))


def solve_many(
    setup: Setup, problems: list[Problem], concurrency: int | Literal["auto"], output: Output
) -> None:
    """Search a list of problems, showing each as its turn comes; an interrupt shows the sum.

    # Errors
    `EngineLostError` behind the answers so far, where the loss of an engine ended a search.
    """
    results: list[SearchResult] = []
    begin = time.perf_counter()
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[right]}", style="dim", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=output.progress,
    )
    # a second console on the same terminal would write into the progress bar
    console = output.progress if output.live and output.console.is_terminal else output.console
    try:
        with _live(progress, output) as live, Waiting(output, clock=False), setup.open() as search:
            if live is not None:
                live.update(Group(progress, ReplicaLines(search.replicas)))
            task = progress.add_task(shown_text(setup.title), total=len(problems), right="")
            given = (problem.posed for problem in problems)
            stream = search.map(given, concurrency=concurrency)
            right = judged = 0
            for problem, result in zip(problems, stream, strict=False):
                results.append(result)
                verdict = is_right(problem, result.answer)
                if verdict is not None:
                    judged += 1
                    right += verdict
                if output.as_json:
                    output.json(_record(problem, result, len(results)))
                else:
                    line = result_line(len(results), problem, result, console.width)
                    console.print(line, soft_wrap=True)
                shown = f"{right} of {judged} right" if judged else ""
                progress.update(task, advance=1, right=shown)
    finally:  # on an interrupt or an error too
        if results and not output.as_json:
            seconds = time.perf_counter() - begin
            print_totals(output.console, problems, results, seconds)
    _raise_if_lost(results)


def _live(progress: Progress, output: Output) -> AbstractContextManager[Live | None]:
    if not output.live:
        return nullcontext()
    return Live(progress, console=output.progress, transient=True, refresh_per_second=8)


def _raise_if_lost(results: list[SearchResult]) -> None:
    for result in results:
        if result.lost is not None:
            raise EngineLostError(f"{result.lost}; the result is of the solutions so far")


def _head(problem: Problem, number: int) -> dict[str, Any]:
    head: dict[str, Any] = {"number": number, "problem": problem.given}
    return head if problem.key is None else {"id": problem.key, **head}


def _record(problem: Problem, result: SearchResult, number: int) -> dict[str, Any]:
    record = {**_head(problem, number), **result.to_dict()}
    if problem.expected is not None:
        record["expected"] = problem.expected
        record["right"] = is_right(problem, result.answer)
    return record
