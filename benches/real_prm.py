"""A PRM for a real policy: a head on its own lower layers, trained on its own solutions.

The policy solves problems in trees that branch at each of the first steps, so that a step's label
is what several solutions from it came to; the head learns those, and which of the continuations of
one prefix ended better (`prm_head.py`). What is there is not made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer

import ets
from ets.answer import same_answer
from ets.engines import Policy
from ets.problems.problem import Problem
from ets.rollout.result import SearchResult
from ets.strategy import Decision, View
from kept_searches import Row
from prm_head import Solution, train_prm

SEED = 0
IN_FLIGHT = 24
"""Problems at once: on a CPU a batch of a hundred sequences writes three times what one of eight
does."""
PRM_LAYERS = 12
"""The PRM reads the policy's lower layers only, at half the cost."""
LIMITS: dict[str, Any] = {"max_tokens": 400, "max_step_tokens": 200}


@dataclass(frozen=True, slots=True)
class Branching:
    """Rollouts from each of the first prefixes: `branches[d]` continuations of each at depth d, and
    one below."""

    branches: tuple[int, ...] = (4, 2, 2)
    needs_embeddings: bool = False

    @property
    def width(self) -> int:
        """Solutions of a tree of which none ends early."""
        return int(np.prod(self.branches))

    def decide(self, view: View) -> Decision:
        """As many for each."""
        each = self.branches[view.depth] if view.depth < len(self.branches) else 1
        n = len(view.nodes)
        return Decision(order=np.arange(n), counts=np.full(n, each, dtype=np.int64))


def trained_prm(work: Path, model: Path, policy: Policy, problems: Sequence[Problem]) -> Path:
    """The PRM, trained if it is not there."""
    target = work / "prm"
    if not target.exists():
        solved = collect(work / "solutions.jsonl", policy, problems)
        base = as_prm(model, work / "prm-base")
        reached = train_prm(solved, base, target, contrast=1.0)
        (work / "auroc.json").write_text(json.dumps(reached) + "\n")
    return target


def borrowed_prm(work: Path, prm: Path) -> Path:
    """A PRM of another folder as that of this one, whose rows and samples are of one PRM."""
    target = work / "prm"
    if not target.exists():
        target.symlink_to(prm.resolve(strict=True))
    if target.resolve() != prm.resolve():
        raise SystemExit(f"--prm is {prm}: {work} has rewards of another PRM; give it a new WORK")
    return target


def collect(file: Path, policy: Policy, problems: Sequence[Problem]) -> dict[str, list[Solution]]:
    """The solutions of each problem in trees that branch, and which are right."""
    done = {row["problem"] for row in read(file)}
    todo = {problem.text: problem for problem in problems if problem.text not in done}
    strategy = Branching()
    with (
        ets.Search(policy=policy, prm="none", strategy=strategy, seed=SEED, **LIMITS) as writer,
        file.open("a", encoding="utf-8") as out,
    ):
        for result in writer.map(list(todo), ordered=False, concurrency=IN_FLIGHT):
            expected = todo[str(result.problem)].expected or ""
            row = {"problem": result.problem, "solutions": solutions_of(result, expected)}
            out.write(json.dumps(row) + "\n")
            out.flush()
            print(f"solved {len(done) + 1}: {result.usage.policy_tokens} tokens", flush=True)
            done.add(result.problem)
    texts = {problem.text for problem in problems}
    return {
        row["problem"]: [Solution(tuple(one["steps"]), one["right"]) for one in row["solutions"]]
        for row in read(file)
        if row["problem"] in texts and row["solutions"]
    }


def solutions_of(result: SearchResult, expected: str) -> list[dict[str, Any]]:
    """Those that were finished; equal ones count as often as they came."""
    found = []
    for done, solution in zip(result.tree.trajectories, result.trajectories, strict=True):
        steps = [text for text in done.texts if text is not None and text.strip()]
        if done.finished and steps:
            right = solution.answer is not None and same_answer(solution.answer, expected)
            found.append({"steps": steps, "right": right})
    return found


def as_prm(model: Path, target: Path) -> Path:
    """The checkpoint's lower layers in the form of Qwen2.5-Math-PRM, the head still of zeros."""
    shutil.rmtree(target, ignore_errors=True)
    config = AutoConfig.from_pretrained(model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_0>"]})
    tokenizer.save_pretrained(target)
    weights = {
        name: weight.float()  # which a CPU is ten times as fast in as in bfloat16
        for name, weight in load_file(model / "model.safetensors").items()
        if name != "lm_head.weight" and layer_of(name) < PRM_LAYERS
    }
    words = weights["model.embed_tokens.weight"]
    if (lacking := len(tokenizer) - len(words)) > 0:
        # The tag is the same everywhere: any row will do that is no other token's.
        words = torch.cat([words, words.mean(0, keepdim=True).expand(lacking, -1)])
        weights["model.embed_tokens.weight"] = words
    config.vocab_size = len(words)
    size = config.hidden_size
    for place, shape in (("0", (size, size)), ("2", (2, size))):
        weights[f"score.{place}.weight"] = torch.zeros(shape)
        weights[f"score.{place}.bias"] = torch.zeros(shape[0])
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.dtype = torch.float32
    config.num_labels = 2
    config.num_hidden_layers = PRM_LAYERS
    config.layer_types = config.layer_types[:PRM_LAYERS]
    config.tie_word_embeddings = False
    config.save_pretrained(target)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def layer_of(name: str) -> int:
    """Of a weight's name; -1 outside the layers."""
    _, found, rest = name.partition("model.layers.")
    return int(rest.partition(".")[0]) if found else -1


def read(file: Path) -> list[Row]:
    """Its whole lines; a run that was killed may have left a part of one."""
    if not file.exists():
        return []
    whole = file.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in whole if line.endswith("\n")]
