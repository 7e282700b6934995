"""Recorded searches, decided anew: the same ones come out the same, others as far as they reach."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import ets
from ets.bench.bank import SampleBank
from ets.bench.packed_tree import pack_tree, unpack_tree
from ets.bench.recording import Recording
from ets.bench.replay import Replay, replayed_grid
from ets.bench.run_folder import RunFolder, key_of
from ets.errors import InputError
from ets.tree_search.search import TreeSearch
from run_cases import SCRIPTED, TIMES, write_problems
from scripted import World, play

REPLAY = [sys.executable, "-m", "ets", "replay"]


def searched(strategy: Any, world: World, seed: int = 0) -> TreeSearch:
    return play(TreeSearch(strategy, 20, seed=seed, max_depth=6), world)


# --- one problem --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 30),
    world=st.builds(World, seed=st.integers(0, 10**6), finish=st.sampled_from([0.0, 0.2])),
    kind=st.sampled_from(["rebase", "ets-kv", "beam", "dvts", "particle", "best"]),
)
def test_the_same_settings_give_the_same_search(width: int, world: World, kind: str) -> None:
    strategy: Any = {
        "rebase": ets.REBASE(width=width),
        "ets-kv": ets.ETS(width=width, lambda_d=0.0),
        "beam": ets.BeamSearch(width=width),
        "dvts": ets.DVTS(width=width),
        "particle": ets.ParticleFilter(width=width),
        "best": ets.BestOfN(width=width),
    }[kind]
    search = searched(strategy, world)
    again, reach = Recording(search).replay(strategy, None)
    assert again == search
    assert reach.whole
    assert reach.asked == len(search.nodes) - 1


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(2, 24),
    world=st.builds(World, seed=st.integers(0, 10**6), finish=st.sampled_from([0.1, 0.3])),
)
def test_what_two_strategies_recorded_is_pooled(width: int, world: World) -> None:
    """With the searched strategy among them every sample is there; without it, maybe not."""
    wide, pruned = ets.REBASE(width=width), ets.ETS(width=width, lambda_b=2.0, lambda_d=0.0)
    recording = Recording(searched(wide, world))
    alone, reach = recording.replay(pruned, None)
    assert 0 < reach.recorded <= reach.asked
    target = searched(pruned, world)
    assert (alone == target) == reach.whole
    recording.add(target)
    assert (recording.other_steps, recording.other_rewards) == (0, 0)
    whole, reach = recording.replay(pruned, None)
    assert reach.whole
    assert whole == target


def test_a_sample_that_is_not_there_is_given_up() -> None:
    recording = Recording(searched(ets.REBASE(width=4), World(finish=0.3)))
    search, reach = recording.replay(ets.REBASE(width=9), None)
    assert reach.asked > reach.recorded
    assert not reach.whole
    known = set(searched(ets.REBASE(width=4), World(finish=0.3)).nodes.seed)
    assert set(search.nodes.seed) <= known
    assert search.end is not None


def test_what_two_searches_recorded_otherwise_is_counted() -> None:
    """As by an engine whose batches round differently: the first holds, but for a search's own."""
    here, there = ets.REBASE(width=6), ets.BeamSearch(width=8)
    first, second = searched(here, World(finish=0.2)), searched(there, World(seed=99, finish=0.2))
    recording = Recording(first)
    recording.add(second)
    shared = set(first.nodes.seed[1:]) & set(second.nodes.seed[1:])
    assert 6 <= recording.other_steps <= len(shared)
    assert recording.replay(here, None)[0] == first
    # From the pool, a mixture of both; from its own records, as it was.
    assert recording.replay(there, None)[0] != second
    again, reach = recording.replay(there, None, second)
    assert again == second
    assert reach.whole


def test_a_step_of_another_reward_is_no_other_step() -> None:
    first = searched(ets.BestOfN(width=5), World(finish=0.2))
    said = json.loads(first.to_json())
    rewards = said["nodes"]["reward"]
    rewards[1], rewards[3] = rewards[1] / 2, rewards[3] / 2
    recording = Recording(first)
    recording.add(TreeSearch.from_json(json.dumps(said)))
    assert (recording.other_steps, recording.other_rewards) == (0, 2)


def test_a_sample_without_its_vector_is_given_up() -> None:
    strategy = ets.ETS(width=6, lambda_b=0.5)
    known = Recording(searched(ets.REBASE(width=6), World(finish=0.2)))
    vectors: dict[str, NDArray[np.float32]] = {}

    def every(text: str) -> NDArray[np.float32]:
        rng = np.random.default_rng(len(vectors))
        return vectors.setdefault(text, rng.random(4, dtype=np.float32))

    _, full = known.replay(strategy, every)
    missing = next(iter(vectors))
    _, less = known.replay(strategy, lambda text: None if text == missing else every(text))
    assert less.recorded < less.asked
    assert full.recorded > 0


# --- a run --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ets bench` over scripted engines, two strategies, two seeds."""
    folder = tmp_path_factory.mktemp("replay")
    problems = write_problems(folder / "problems.jsonl", 5)
    command = [*SCRIPTED, str(folder / "run"), "--dataset", str(problems), "--widths", "6"]
    command += ["--strategies", "best-of-n,rebase,ets-kv", "--seeds", "0,1"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "run"


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    """What a replay knows as a search does."""
    unknown = (*TIMES, "policy_seconds", "prm_seconds", "replay")
    usage = {key: row["usage"][key] for key in ("policy_calls", "policy_tokens", "prm_calls")}
    return {**{k: v for k, v in row.items() if k not in unknown}, "usage": usage}


def test_the_run_as_it_was(run: Path) -> None:
    folder = RunFolder(run)
    replay = Replay(folder, replayed_grid(folder, {}))
    rows = [row for row, _ in replay.found()]
    assert all(row["replay"]["asked"] == row["replay"]["recorded"] for row in rows)
    key = lambda row: (row["cell"], row["seed"], row["id"])  # noqa: E731
    assert sorted(map(timeless, rows), key=key) == sorted(map(timeless, folder.rows()), key=key)
    assert (replay.other_steps, replay.other_rewards) == (0, 0)
    assert replay.samples > 0


def test_the_command_prints_and_writes_every_cell(run: Path, tmp_path: Path) -> None:
    command = [*REPLAY, str(run), "--strategy", "rebase,ets-kv,beam", "--lambda-b", "0.5,2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert "samples recorded  searches in full" in done.stdout
    assert "rebase width=6" in done.stdout
    table = done.stdout[done.stdout.index("samples recorded") :]
    reach = {line[: line.index("  ")]: line for line in table.splitlines() if "width" in line}
    assert "100.0%" in reach["rebase width=6"]
    copy = RunFolder(tmp_path / "out")
    assert len(copy.rows()) == 5 * 2 * 4
    assert copy.config["dataset"]["replay_of"] == str(run)
    assert all(copy.tree(row) is not None for row in copy.rows())
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [line["cell"] for line in lines] == list(reach)
    assert lines[0]["reach"] == lines[0]["whole"] == 1.0
    assert [lines[0][name] for name in ("other_steps", "other_rewards")] == [0, 0]
    # Twice is once: rows that are there are not written again.
    subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, check=True)
    assert len(RunFolder(tmp_path / "out").rows()) == 5 * 2 * 4


def test_the_command_sweeps(run: Path) -> None:
    command = [*REPLAY, str(run), "--strategy", "rebase,ets", "--lambda-b", "2", "--json"]
    command += ["--sweep", "cluster_threshold=0.0001,2", "--sweep", "reward=last"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    fine, coarse = (json.loads(line) for line in done.stdout.splitlines()[1:])
    assert fine["cell"] == "ets width=6 lambda_b=2.0 cluster_threshold=0.0001 reward=last"
    assert coarse["cell"] == "ets width=6 lambda_b=2.0 cluster_threshold=2 reward=last"
    assert fine["kv_after"] > coarse["kv_after"], "steps of many kinds, all to be kept"


def refused(*words: str) -> str:
    done = subprocess.run([*REPLAY, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


def change(run: Path, copy: Path, **search: Any) -> str:
    """A copy of the run's configuration with other arguments of the search."""
    copy.mkdir()
    config = json.loads((run / "run.json").read_text())
    config["configuration"]["search"].update(search)
    (copy / "run.json").write_text(json.dumps(config))
    return str(copy)


def test_what_cannot_be_replayed_is_refused(run: Path, tmp_path: Path) -> None:
    assert "is no run folder" in refused(str(tmp_path))
    budget = change(run, tmp_path / "budget", budget={"tokens": 10})
    assert "its searches had budget={'tokens': 10}" in refused(budget)
    assert "had straggler=0.1" in refused(change(run, tmp_path / "late", straggler=0.1))
    assert "shared a KV cache" in refused(change(run, tmp_path / "kv", kv_budget="auto"))
    policy = change(run, tmp_path / "policy", embedder="policy")
    assert "the run's embedder 'policy' is a model" in refused(policy, "--strategy", "ets")
    assert "strategies must be among" in refused(str(run), "--strategy", "best")


def test_embeddings_of_steps_are_computed_again(run: Path) -> None:
    """The world's texts are all different, so that clusters are those of `lexical`."""
    folder = RunFolder(run)
    grid = replayed_grid(folder, {"strategies": ["ets"], "lambda_b": [0.5]}, "lexical")
    rows = [row for row, _ in Replay(folder, grid).found()]
    assert len(rows) == 10
    assert sum(row["cluster_seconds"] for row in rows) > 0


def test_a_run_without_trees_is_refused(run: Path, tmp_path: Path) -> None:
    folder = change(run, tmp_path / "bare")
    (tmp_path / "bare" / "rows.jsonl").write_bytes((run / "rows.jsonl").read_bytes())
    with pytest.raises(InputError, match=r"has no tree of .* the run was made with --no-trees"):
        list(Replay(RunFolder(folder), replayed_grid(RunFolder(folder), {})).found())


# --- engines that are models --------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled pair, steps embedded by the policy's hidden states, vectors kept in a bank."""
    folder = tmp_path_factory.mktemp("embedded")
    command = [sys.executable, "-m", "ets", "bench", str(folder / "run"), "--problems", "2"]
    command += ["--widths", "4", "--strategies", "rebase,ets", "--embedder", "policy"]
    command += ["--bank", str(folder / "bank.sqlite")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_real_searches_are_found_again_with_vectors_from_the_bank(embedded: Path) -> None:
    folder = RunFolder(embedded / "run")
    with SampleBank(embedded / "bank.sqlite", read_only=True) as bank:
        replay = Replay(folder, replayed_grid(folder, {}), bank)
        found = {key_of(row): (timeless(row), tree) for row, tree in replay.found()}
    assert (replay.other_steps, replay.other_rewards) == (0, 0)
    assert len(found) == 4
    for row in folder.rows():
        again, tree = found[key_of(row)]
        assert again == timeless(row)
        kept = folder.tree(row)
        assert kept is not None
        assert tree == pack_tree(kept)


def test_a_bank_without_the_vectors_of_the_run_is_refused(embedded: Path, tmp_path: Path) -> None:
    run, bank = str(embedded / "run"), tmp_path / "bank.sqlite"
    assert "give --bank" in refused(run)
    assert "there is no sample bank" in refused(run, "--bank", str(bank))
    SampleBank(bank).close()
    assert "has no vector by 'policy' of the first step" in refused(run, "--bank", str(bank))
    command = [*REPLAY, run, "--bank", str(embedded / "bank.sqlite"), "--lambda-b", "1,3", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["reach"] for line in lines[:2]] == [1.0, 1.0]  # rebase; ets as it was, 1.0
    assert 0 < lines[2]["reach"] <= 1


def test_ranks_of_a_policy_that_judges_itself_are_made_anew(tmp_path: Path) -> None:
    """A replay's rewards are those of its own steps, not of the steps that were recorded."""
    command = [sys.executable, "-m", "ets", "bench", str(tmp_path / "run"), "--problems", "2"]
    command += ["--widths", "4", "--strategies", "rebase,beam", "--prm", "policy?of=path"]
    command += ["--bank", str(tmp_path / "bank.sqlite")]
    subprocess.run(command, check=True, capture_output=True)
    folder = RunFolder(tmp_path / "run")
    replay = Replay(folder, replayed_grid(folder, {}))
    found = {key_of(row): tree for row, tree in replay.found()}
    assert (replay.other_steps, replay.other_rewards) == (0, 0)
    assert len(found) == 4
    for row in folder.rows():
        kept = folder.tree(row)
        assert kept is not None
        assert found[key_of(row)] == pack_tree(kept)
    others = replayed_grid(folder, {"strategies": ["beam"], "widths": [3]})
    for _, packed in Replay(folder, others).found():
        assert packed is not None
        nodes = unpack_tree(packed, "the replay").nodes
        for level in nodes.levels[1:]:
            rewards = [nodes.reward[node] for node in level]
            assert sum(rewards) / len(rewards) == pytest.approx(0.5, abs=1e-5)
