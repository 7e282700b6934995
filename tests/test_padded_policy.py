"""The padded policy of `benches/`: what the bundled one writes, at the cost of more parameters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import padded_policy
from ets import demo
from ets.policy.bundled import BundledPolicy
from ets.step import Step

SEEDS = range(4)
UNITS = 1024


async def steps(path: Path) -> list[Step]:
    policy = BundledPolicy(path, dtype="float64")
    root = policy.start(str(demo.problems()[0]["problem"]))
    try:
        return [await policy.sample(root, seed=seed, max_tokens=64) for seed in SEEDS]
    finally:
        await policy.aclose()


def test_it_writes_what_the_bundled_policy_writes(tmp_path: Path) -> None:
    parameters = padded_policy.pad(tmp_path / "padded", UNITS)
    layers, hidden, more = 4, 128, UNITS - 352
    assert parameters == padded_policy.pad(tmp_path / "same", 352) + 3 * layers * hidden * more
    bundled, padded = (
        asyncio.run(steps(path)) for path in (padded_policy.SOURCE, tmp_path / "padded")
    )
    assert len({step.text for step in bundled}) > 1
    assert [step.token_ids for step in padded] == [step.token_ids for step in bundled]


def test_fewer_units_than_the_policy_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--intermediate 100: the policy has 352"):
        padded_policy.pad(tmp_path / "padded", 100)
    assert not (tmp_path / "padded").exists()
