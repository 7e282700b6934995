"""Engines behind the sample bank, and a run with one: nothing is asked twice."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ets.bench.bank import SampleBank, identity
from ets.bench.banked import BankedEmbedder, BankedPolicy, BankedPRM
from ets.engines.kv_space import HasKVSpace
from ets.engines.protocols import PRM, Policy, WaitsForServer
from ets.errors import EngineError
from ets.step import Prefix, Score, Step
from run_cases import TIMES, write_problems

SCRIPTED = [sys.executable, str(Path(__file__).parent / "bench_scripted.py"), "bench"]


class CountingEngines:
    """A policy, a PRM and an embedder that count what they are asked."""

    def __init__(self) -> None:
        self.asked = 0

    def start(self, problem: str) -> Prefix:
        return Prefix(problem, 2, (7, 8))

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        self.asked += 1
        return Step(f"{seed}", (seed, self.asked), "step", 9, 4, 1)

    async def score(self, prefix: Prefix) -> Score:
        self.asked += 1
        return Score(1 / (1 + self.asked), 30, 20)

    async def embed(self, text: str) -> np.ndarray:
        self.asked += 1
        return np.array([len(text), 0.1 * self.asked], dtype=np.float32)

    async def aclose(self) -> None:
        self.asked = -1


def test_what_was_asked_before_is_not_asked_again(tmp_path: Path) -> None:
    engine = CountingEngines()
    bank = SampleBank(tmp_path / "bank.sqlite")
    policy = BankedPolicy(engine, bank, b"model")
    assert isinstance(policy, Policy)
    assert not isinstance(policy, HasKVSpace), "it has what the policy has, and no more"
    root = policy.start("x")

    def sample(policy: BankedPolicy, **asked: Any) -> Step:
        return asyncio.run(policy.sample(asked.pop("prefix", root), **asked))

    first = sample(policy, seed=3, max_tokens=8)
    again = sample(policy, seed=3, max_tokens=8)
    assert (first.banked, again.banked, engine.asked) == (False, True, 1)
    for name in ("text", "token_ids", "finish", "prompt_tokens", "cached_tokens", "preemptions"):
        assert getattr(first, name) == getattr(again, name)
    longer = root.extend(first)
    for other in (
        {"seed": 4, "max_tokens": 8},
        {"seed": 3, "max_tokens": 9},
        {"seed": 3, "max_tokens": 8, "prefix": longer},
    ):
        assert not sample(policy, **other).banked
    assert not sample(BankedPolicy(engine, bank, b"another"), seed=3, max_tokens=8).banked

    prm = BankedPRM(engine, bank, b"model")
    assert isinstance(prm, PRM)
    one, two = (asyncio.run(prm.score(longer)) for _ in range(2))
    assert (one.reward, one.banked, two.banked) == (two.reward, False, True)
    assert two.prompt_tokens == 30
    assert not asyncio.run(prm.score(longer.extend(first))).banked
    assert not asyncio.run(prm.score(Prefix("y", 2, (7, 8), longer.steps))).banked

    with sqlite3.connect(tmp_path / "bank.sqlite") as theirs:
        theirs.execute("""UPDATE answers SET answer = '{"what": 1}'""")
    theirs.close()
    for asked in (policy.sample(root, seed=3, max_tokens=8), prm.score(longer)):
        with pytest.raises(EngineError, match="holds an answer that is none"):
            asyncio.run(asked)

    embedder = BankedEmbedder(engine, bank, b"model")
    vectors = [asyncio.run(embedder.embed("Tom has 3.")) for _ in range(2)]
    assert vectors[1].dtype == np.float32
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], asyncio.run(embedder.embed("Tom has 4.")))
    asyncio.run(embedder.aclose())
    assert engine.asked == -1
    bank.close()


def test_what_an_engine_can_is_seen_without_asking_it(tmp_path: Path) -> None:
    """As protocols look from Python 3.12 on; and what changes in the engine changes here."""

    class More(CountingEngines):
        patience = 300.0

        async def kv_space(self) -> None:
            return None

        def wait_at_most(self, seconds: float) -> None:
            self.patience = seconds

    engine = More()
    with SampleBank(tmp_path / "bank.sqlite") as bank:
        for banked in (BankedPolicy(engine, bank, b"model"), BankedPRM(engine, bank, b"model")):
            assert isinstance(banked, WaitsForServer)
            assert isinstance(banked, HasKVSpace)
            for name in ("kv_space", "wait_at_most", "patience"):
                assert inspect.getattr_static(banked, name)
            banked.wait_at_most(7.0)
            assert banked.patience == engine.patience == 7.0
            engine.patience = 300.0
        assert not isinstance(BankedPolicy(CountingEngines(), bank, b"model"), WaitsForServer)


def test_texts_cannot_run_into_each_other(tmp_path: Path) -> None:
    engine = CountingEngines()
    with SampleBank(tmp_path / "bank.sqlite") as bank:
        prm = BankedPRM(engine, bank, b"model")
        for texts in (("a", "bc"), ("ab", "c"), ("abc",), ("", "abc")):
            steps = tuple(Step(text, (1,), "step") for text in texts)
            assert not asyncio.run(prm.score(Prefix("p", 0, (), steps))).banked


def test_another_model_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"1234")
    monkeypatch.chdir(tmp_path)
    bundled = identity("demo", {})
    (tmp_path / "of no model.txt").touch()
    assert bundled == identity("demo", {}) != identity("demo", {"temperature": 0.5})
    assert bundled != identity("demo?temperature=0.5", {})
    name = f"vllm:{folder}"
    first = identity(name, {"temperature": 1.0})
    assert first == identity(name, {"temperature": 1.0})
    assert first != identity(name, {"temperature": 0.5})
    assert first != identity(f"transformers:{folder}", {"temperature": 1.0})
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert first != identity(name, {"temperature": 1.0})


def test_a_run_with_a_bank_finds_what_one_without_finds(tmp_path: Path) -> None:
    problems = write_problems(tmp_path / "problems.jsonl", 10)
    options = ["--dataset", str(problems), "--widths", "4", "--json"]

    def run(name: str, *more: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        folder = tmp_path / name
        done = subprocess.run(
            [*SCRIPTED, str(folder), *options, *more],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,  # where the bank lies, and changes
        )
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        for row in rows:
            row.update(dict.fromkeys(TIMES, 0))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return sorted(rows, key=lambda row: (row["cell"], row["id"])), lines

    def without_bank(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            row["usage"]["policy_banked"] = row["usage"]["prm_banked"] = 0
        return rows

    bank = ("--bank", str(tmp_path / "bank.sqlite"))
    plain, _ = run("plain")
    first, lines = run("first", *bank)
    share = {line["cell"]: line["banked"] for line in lines}
    assert 0 < share["ets width=4"] < 1, "strategies share what they both visit"
    second, lines = run("second", *bank)
    assert {line["banked"] for line in lines} == {1.0}
    assert without_bank(first) == without_bank(second) == plain
