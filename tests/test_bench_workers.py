"""The processes of a benchmark, as systems have them whose pipes and waits are others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ets.bench import workers
from ets.bench.grid import Grid
from ets.errors import EngineError
from ets.problems.problem import Problem


class PipeEnd:
    """What Windows has for a `Connection`, with nothing of it but what a wait gives back."""

    def __init__(self, told: list[Any]) -> None:
        self._told = told

    def recv(self) -> Any:
        if not self._told:
            raise EOFError
        return self._told.pop(0)

    def close(self) -> None:
        """Nothing to free."""


class Process:
    """Ends at the second look."""

    def __init__(self, **given: Any) -> None:
        self.exitcode: int | None = None
        self._looks = 0

    def start(self) -> None:
        """Nothing runs."""

    def terminate(self) -> None:
        """Nothing runs."""

    def join(self, timeout: float) -> None:
        self._looks += 1
        if self._looks > 1:
            self.exitcode = 3


class Context:
    """Two processes, of which each has told what `told` says."""

    Process = Process

    def __init__(self, told: Iterator[list[Any]]) -> None:
        self._told = told

    def Pipe(self, duplex: bool) -> tuple[PipeEnd, PipeEnd]:  # noqa: N802 - of `multiprocessing`
        return PipeEnd(next(self._told)), PipeEnd([])


def found(monkeypatch: pytest.MonkeyPatch, *told: list[Any]) -> list[Any]:
    def wait(ends: list[PipeEnd], timeout: float) -> list[PipeEnd]:
        """Every second look finds nothing, as one that ran out."""
        looks.append(timeout)
        return ends[:1] if len(looks) % 2 else []

    looks: list[float] = []
    monkeypatch.setattr(workers, "get_context", lambda kind: Context(iter(told)))
    monkeypatch.setattr(workers, "wait", wait)
    grid = Grid(strategies=("rebase",), widths=(4,), workers=2)
    todo = {(grid.cells()[0], 0): [Problem("a?", "1", "a"), Problem("b?", "2", "b")]}
    return list(workers.found_by_processes(grid, todo))


def test_what_comes_through_pipes_of_any_kind_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = ({"id": "a"}, None), ({"id": "b"}, b"tree")
    assert found(monkeypatch, [one, None], [two, None]) == [one, two]


def test_a_process_that_died_is_told_through_pipes_of_any_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(EngineError, match=r"a process of the benchmark died \(exit status 3\)"):
        found(monkeypatch, [], [None])
