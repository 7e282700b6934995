"""A run folder whose writer was killed at any one system call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ets.bench.packed_tree import tree_name
from ets.bench.run_folder import RunFolder
from ets.problems.problem import Problem
from run_cases import dataset_of


def test_a_kill_at_any_system_call_leaves_a_folder_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the first write, rename or flush, before the second, and so on."""
    row = {"cell": "rebase width=4", "seed": 0, "id": "p"}

    problems = [Problem("1 + 1?", "2", "p")]
    dataset = dataset_of(problems)

    def wanted(run: RunFolder) -> None:
        run.keep_problems(problems)
        if not run.rows():
            run.add(row, b"a tree")

    class Killed(BaseException):
        """No `except` of the code under test catches it."""

    calls = {name: getattr(os, name) for name in ("replace", "fsync", "write", "open")}
    for stop_at in range(100):
        folder = tmp_path / str(stop_at)
        left = [stop_at]

        def stopping(name: str, left: list[int] = left) -> Any:
            def call(*given: Any, **more: Any) -> Any:
                if not left[0]:
                    raise Killed
                left[0] -= 1
                return calls[name](*given, **more)

            return call

        killed = False
        with monkeypatch.context() as patched:
            for name in calls:
                patched.setattr(os, name, stopping(name))
            try:
                with RunFolder.open(folder, {}, dataset) as run:
                    wanted(run)
            except Killed:
                killed = True
        for _ in range(2):
            with RunFolder.open(folder, {}, dataset) as run:
                wanted(run)
        kept = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()} - {".lock"}
        assert kept == {"run.json", "problems.jsonl", "rows.jsonl", f"trees/{tree_name(row)}"}
        assert RunFolder(folder).rows() == [row]
        assert (folder / "trees" / tree_name(row)).read_bytes() == b"a tree"
        if not killed:
            break
    assert not killed
    assert stop_at > 5, "nothing was stopped"
