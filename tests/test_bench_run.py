"""Runs of a benchmark: the grid, the folder, what a kill leaves, what the table says."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

import ets.bench.engines
from ets.bench.dataset import load_dataset
from ets.bench.grid import Grid
from ets.bench.run_folder import RunFolder, differences
from ets.bench.searching import searched
from ets.errors import EngineError, InputError
from ets.problems.problem import Problem
from run_cases import DATASET, SCRIPTED, dataset_of, write_problems
from scripted_engines import ScriptedPolicy

# --- the folder ---------------------------------------------------------------------------------


def test_a_folder_of_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with RunFolder.open(folder, {"widths": [4], "search": {"policy": "a"}}, DATASET):
        pass
    with (
        pytest.raises(InputError) as error,
        RunFolder.open(folder, {"widths": [8], "search": {"policy": "b", "prm": "c"}}, DATASET),
    ):
        pass
    for words in (
        "run of another configuration",
        "widths is [4] there, [8] here",
        'search.policy is "a" there, "b" here',
        'search.prm is null there, "c" here',
    ):
        assert words in str(error.value)
    with (
        pytest.raises(InputError, match=r'dataset\.sha256 is "x" there, "y" here'),
        RunFolder.open(
            folder, {"widths": [4], "search": {"policy": "a"}}, {**DATASET, "sha256": "y"}
        ),
    ):
        pass


def test_only_one_process_writes(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run", {}, DATASET):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys\nfrom ets.bench.run_folder import RunFolder\n"
                f"with RunFolder.open(sys.argv[1], {{}}, {DATASET}): pass",
                str(tmp_path / "run"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "InputError: another process writes into" in done.stderr
    with RunFolder.open(tmp_path / "run", {}, DATASET):
        pass


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_half_a_line_is_no_row(tmp_path: Path, cut: int) -> None:
    folder = tmp_path / "run"
    rows = [{"cell": "ets width=4", "seed": 0, "id": f"Zoë {i}"} for i in range(3)]
    with RunFolder.open(folder, {}, DATASET) as run:
        for row in rows:
            run.add(row)
    file = folder / "rows.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    assert RunFolder(folder).rows() == rows[:2]
    with RunFolder.open(folder, {}, DATASET) as run:
        run.add(rows[2])
        assert run.rows() == rows


def test_a_line_that_is_no_row_or_there_twice_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    row = {"cell": "ets width=4", "seed": 0, "id": 1}
    with RunFolder.open(folder, {}, DATASET) as run:
        run.add(row)
        run.add(row)
        with pytest.raises(InputError, match=r"rows\.jsonl:2 is there twice: ets width=4 0 1"):
            run.rows()
    (folder / "rows.jsonl").write_text('{"cell": 1}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:1 is no row of a run"):
        RunFolder(folder).rows()


def test_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run folder: it has no run\.json"):
        RunFolder(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(InputError, match=r"is no run folder: it holds thesis\.tex"),
        RunFolder.open(tmp_path, {}, DATASET),
    ):
        pass
    for text, words in (("{", "cannot be read as a run"), ('{"format": 9}', "of format 9, not 1")):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=words):
            RunFolder(tmp_path)


# --- the trees ----------------------------------------------------------------------------------


def test_the_command_sweeps(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 2)
    command = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems), "--widths", "4"]
    command += ["--strategies", "rebase,ets", "--sweep", "cluster_threshold=0.01,1"]
    subprocess.run(command, check=True, capture_output=True)
    run = RunFolder(tmp_path / "run")
    cells = ["rebase width=4", *(f"ets width=4 cluster_threshold={x}" for x in ("0.01", "1"))]
    assert sorted({row["cell"] for row in run.rows()}) == sorted(cells)
    assert run.config["configuration"]["sweep"] == {"cluster_threshold": [0.01, 1]}


class Forgetful(ScriptedPolicy):
    """Has a prefix cache to empty, which is in use at the first try."""

    def __init__(self) -> None:
        super().__init__(slow=False)
        self.tries: list[int] = []
        """How many searches had begun at each."""

    async def forget_prefixes(self) -> None:
        self.tries.append(len(self.started))
        if len(self.tries) == 1:
            raise EngineError("in use")


def test_each_strategy_finds_the_prefix_caches_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the last of them is spared what the first one read."""
    policy = Forgetful()
    monkeypatch.setattr(ets.bench.engines, "load_policy", lambda name, **options: policy)
    grid = Grid(problems=2, widths=(4,), strategies=("beam", "dvts", "rebase"), trees=False)
    problems = [Problem("a?", "1", "a"), Problem("b?", "2", "b")]
    todo = {(cell, 0): problems for cell in grid.cells()}
    assert len(list(searched(grid, todo))) == 6
    assert policy.tries == [2, 2, 4]


def test_a_row_has_its_tree_if_trees_are_kept(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 2)
    for name, option in (("with", "--trees"), ("without", "--no-trees")):
        command = [*SCRIPTED, str(tmp_path / name), "--dataset", str(problems), option]
        subprocess.run([*command, "--widths", "4"], check=True, capture_output=True)
    run = RunFolder(tmp_path / "with")
    for row in run.rows():
        tree = run.tree(row)
        assert tree is not None
        assert tree.end == row["end"]
        assert [done.tokens for done in tree.trajectories] == row["tokens"]
    other = RunFolder(tmp_path / "without")
    assert [other.tree(row) for row in other.rows()] == [None] * len(run.rows())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"{}"), id="no tree"),
        pytest.param(gzip.compress(b"["), id="half a JSON"),
    ],
)
def test_a_damaged_tree_is_named(tmp_path: Path, damage: bytes) -> None:
    row = {"cell": "rebase width=4", "seed": 0, "id": "a/../b"}
    with RunFolder.open(tmp_path, {}, DATASET) as run:
        run.add(row, damage)
        [file] = (tmp_path / "trees").iterdir()
        with pytest.raises(InputError, match=f"{file.name} is no packed tree"):
            run.tree(row)


def test_the_problems_are_kept_and_are_a_data_set_again(tmp_path: Path) -> None:
    problems = [
        Problem("1 < 2 </script> & \u2028?", "1/2", "p-1"),
        Problem("odd \x00\x85 text", "\\frac{1}{2}", "p-2"),
        Problem("Zoë's", "3", 7),
    ]
    folder = tmp_path / "run"
    with RunFolder.open(folder, {}, dataset_of(problems)) as run:
        assert run.problems() == [], "a run of an older version has none"
        run.keep_problems(problems)
        run.keep_problems([])
        assert RunFolder(folder).problems() == problems
    assert load_dataset(str(folder / "problems.jsonl")) == problems
    for bad in ("nothing\n", "3\n"):
        (folder / "problems.jsonl").write_text(bad)
        with pytest.raises(InputError, match=r"problems\.jsonl:1 is no problem of a run"):
            RunFolder(folder).problems()


def test_differences_of_two_configurations() -> None:
    a = {"configuration": {"seeds": [0], "search": {"prm": "x"}}, "dataset": {"problems": 3}}
    b = {"configuration": {"seeds": [0, 1], "search": {}}, "dataset": {"problems": 3}}
    assert list(differences(a, b)) == [("seeds", "[0]", "[0, 1]"), ("search.prm", '"x"', "null")]
    assert list(differences(a, a)) == []
    # An older version did not write a key that is empty now.
    assert list(differences({"seeds": [0]}, {"seeds": [0], "sweep": {}})) == []
    assert list(differences({}, {"sweep": {"solver": ["milp"]}})) == [
        ("sweep.solver", "null", '["milp"]')
    ]


def test_more_problems_than_there_are(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 3)
    run = [*SCRIPTED, str(tmp_path / "run"), "--dataset", str(problems)]
    done = subprocess.run(
        [*run, "--problems", "3", "--skip", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "problems must be at most 2, which" in done.stderr
    assert done.stderr.count("\n") == 1
