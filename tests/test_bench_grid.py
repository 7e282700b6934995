"""The grid of a benchmark: which cells it has, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ets
from ets.bench.grid import Grid
from ets.cli.declared import GRID_TABLE
from ets.cli.setup import make_grid
from ets.cli.values import read_sweep
from ets.errors import InputError
from ets.report.labels import short_label


def test_cells_have_the_lambdas_that_their_strategy_has() -> None:
    grid = Grid(
        strategies=("rebase", "ets-kv", "ets"), widths=(4, 8), lambda_b=(0.5, 1.0), lambda_d=(2.0,)
    )
    labels = [cell.label for cell in grid.cells()]
    assert labels == [
        "rebase width=4",
        "rebase width=8",
        *(f"ets-kv width={w} lambda_b={b}" for w in (4, 8) for b in (0.5, 1.0)),
        *(f"ets width={w} lambda_b={b} lambda_d=2.0" for w in (4, 8) for b in (0.5, 1.0)),
    ]
    assert grid.cells()[-1].strategy() == ets.ETS(width=8, lambda_b=1.0, lambda_d=2.0)
    assert grid.cells()[2].strategy() == ets.ETS(width=4, lambda_b=0.5, lambda_d=0.0)


def test_a_sweep_is_of_every_strategy_that_has_the_option_but_rebase() -> None:
    grid = Grid(
        strategies=("rebase", "dvts", "ets"),
        widths=(4,),
        lambda_b=(2.0,),
        sweep={"reward": ("last", "min"), "cluster_threshold": (0.01,)},
    )
    assert [cell.label for cell in grid.cells()] == [
        "rebase width=4",
        "dvts width=4 reward=last",
        "dvts width=4 reward=min",
        "ets width=4 lambda_b=2.0 reward=last cluster_threshold=0.01",
        "ets width=4 lambda_b=2.0 reward=min cluster_threshold=0.01",
    ]
    # What no strategy of the grid has is of no account, as the lambdas are not.
    assert len(replace(grid, strategies=("rebase", "best-of-n")).cells()) == 2
    last = grid.cells()[-1]
    assert last.strategy() == ets.ETS(width=4, lambda_b=2.0, reward="min", cluster_threshold=0.01)
    assert short_label(last) == "ets 4, λb 2, reward min, threshold 0.01"
    said = json.loads(json.dumps(grid.to_dict()))
    assert said == grid.to_dict()
    assert Grid.read(said) == grid


def test_ets_kv_has_no_clusters_to_sweep() -> None:
    grid = Grid(strategies=("ets-kv", "ets"), widths=(4,), sweep={"cluster_threshold": (0.1,)})
    assert [cell.label for cell in grid.cells()] == [
        "ets-kv width=4",
        "ets width=4 cluster_threshold=0.1",
    ]


def test_a_sweep_on_the_command_line() -> None:
    pairs = ["cluster_threshold=0.01,0.05", "node_cost=tokens", "time_limit=null, 2"]
    assert read_sweep("--sweep", pairs) == {
        "cluster_threshold": [0.01, 0.05],
        "node_cost": ["tokens"],
        "time_limit": [None, 2],
    }
    for pairs, words in (
        (["solver"], "--sweep takes KEY=VALUE,VALUE, got 'solver'"),
        (["no key=1"], "--sweep takes KEY=VALUE,VALUE, got 'no key=1'"),
        (["solver=milp", "solver=exact"], "--sweep solver is given twice"),
    ):
        with pytest.raises(InputError, match=words):
            read_sweep("--sweep", pairs)


def test_a_file_and_what_is_given_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(
        'dataset = "gsm8k"\nwidths = [4, 16]\n[search]\npolicy = "vllm:x"\nprm = "none"\n'
        "[search.policy_options]\ntop_p = 0.9\n"
    )
    said: dict[str, dict[str, Any]] = {
        GRID_TABLE: {"widths": [64], "seeds": [1, 2]},
        "": {"max_depth": 9},
        "policy_options": {"temperature": 0.5},
    }
    grid = make_grid(str(path), said)
    assert (grid.dataset, grid.widths, grid.seeds) == ("gsm8k", (64,), (1, 2))
    assert grid.search == {
        "policy": "vllm:x",
        "prm": "none",
        "max_depth": 9,
        "policy_options": {"top_p": 0.9, "temperature": 0.5},
    }
    path.write_text("wdths = [4]")
    with pytest.raises(InputError, match=r"bench\.toml: unknown key 'wdths'"):
        make_grid(str(path), {})
    assert json.loads(json.dumps(grid.to_dict())) == grid.to_dict()
    assert "concurrency" not in grid.configuration()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"strategies": ["a-star"]}, "strategies must be among ets, .* got 'a-star'"),
        ({"strategies": []}, "must not be empty"),
        ({"widths": [0]}, "width must be .* got 0"),
        ({"widths": [4, 4]}, r"widths must not hold a value twice, got \[4, 4\]"),
        ({"widths": 4}, "widths must be a list, got 4"),
        ({"seeds": [-1]}, r"seeds\[0\] must be .* got -1"),
        ({"lambda_b": [-1.0]}, "lambda_b must be"),
        ({"problems": 0}, "problems must be .* got 0"),
        ({"fields": {"question": "q"}}, "fields has the keys .* got 'question'"),
        ({"search": {"seed": 1}}, "search.seed is set by the grid"),
        ({"search": {"polcy": "x"}}, "search: unknown key 'polcy'"),
        ({"search": {"policy": "vllm:x"}}, "search.prm must be given with the policy 'vllm:x'"),
        ({"strategies": [["ets"]]}, r"strategies must be among ets, .* got \['ets'\]"),
        ({"sweep": ["solver"]}, r"sweep must be a table of options and values, got \['solver'\]"),
        ({"sweep": {"solver": "milp"}}, r"sweep\.solver must be a list, got 'milp'"),
        ({"sweep": {"solver": []}}, r"sweep\.solver must hold at least one value"),
        ({"sweep": {"solver": ["milp", "milp"]}}, r"sweep\.solver must not hold a value twice"),
        ({"sweep": {"solver": ["glpk"]}}, "solver must be .* got 'glpk'"),
        ({"sweep": {"width": [4]}}, r"sweep\.width has a key of its own, widths"),
        ({"sweep": {"lambda_b": [1.0]}}, r"sweep\.lambda_b has a key of its own, lambda_b"),
        (
            {"sweep": {"cluster_treshold": [0.1]}},
            r"sweep\.cluster_treshold is no option of a strategy; those are annealing, beam, clus",
        ),
        ({"wdths": [4]}, "unknown key 'wdths'; the keys are dataset"),
    ],
)
def test_mistakes_in_a_grid(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Grid.read(given)
