"""The trained head of `benches/prm_head.py`, read by the package as any PRM is."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from checkpoints import make_qwen2_prm
from ets.bench.run_folder import RunFolder
from ets.demo.training.evaluate import auroc
from ets.prm import load_prm
from ets.step import Prefix, Step
from prm_head import Steps, pairs_of

SCRIPT = Path(__file__).resolve().parents[1] / "benches" / "prm_head.py"


@pytest.mark.slow
def test_the_head_is_what_the_package_reads(tmp_path: Path) -> None:
    """The AUROC that training prints is that of the rewards which the written PRM gives."""
    options = ["--problems", "6", "--widths", "8", "--strategies", "best-of-n", "--prm", "none"]
    bench: list[str | Path] = [sys.executable, "-m", "ets", "bench", tmp_path / "run", *options]
    assert subprocess.run(bench, capture_output=True, check=False).returncode == 0
    base = make_qwen2_prm(tmp_path / "base", context=2048)
    target = tmp_path / "target"
    command: list[str | Path] = [sys.executable, SCRIPT, tmp_path / "run", base, target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = re.search(r"AUROC within problem and step (0\.\d+)", done.stdout)
    assert said
    assert asyncio.run(held_out_auroc(RunFolder(tmp_path / "run"), target)) == pytest.approx(
        float(said[1]), abs=0.002
    )
    assert float(said[1]) > asyncio.run(held_out_auroc(RunFolder(tmp_path / "run"), base))


def test_pairs_are_of_one_problem_and_step() -> None:
    """What contrast is about: a right solution's step and a wrong one's, each with each."""
    group = ((0, 0), (0, 0), (0, 1), (0, 0), (1, 0), (1, 0))
    right = torch.tensor([True, False, True, False, False, True])
    assert pairs_of(Steps(torch.zeros(6, 1), right, group)).tolist() == [[0, 1], [0, 3], [5, 4]]
    none = pairs_of(Steps(torch.zeros(1, 1), torch.tensor([True]), ((0, 0),)))
    assert none.shape == (0, 2)


async def held_out_auroc(run: RunFolder, path: Path) -> float:
    """Every step of every fifth problem, scored by the package."""
    prm = load_prm(f"transformers:{path}", dtype="float32")
    texts = {problem.key: problem.text for problem in run.problems()}
    above = pairs = 0.0
    held_out = [problem.key for problem in run.problems()][::5]
    for row in (row for row in run.rows() if row["id"] in held_out):
        tree = run.tree(row)
        assert tree is not None
        found: dict[int, list[tuple[float, bool]]] = {}
        for done, hit in zip(tree.trajectories, row["hits"], strict=True):
            steps = tuple(Step(text or "", (1,), "step") for text in done.texts)
            for depth in range(len(steps) if done.finished else 0):
                score = await prm.score(Prefix(texts[row["id"]], 0, (), steps[: depth + 1]))
                found.setdefault(depth, []).append((score.reward, hit))
        for rows in found.values():
            of, count = auroc(rows)
            above, pairs = above + of, pairs + count
    await prm.aclose()
    return above / pairs
