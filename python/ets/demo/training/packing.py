"""Training batches: solutions for the policy, trees packed into single sequences for the PRM.

A packed tree holds a problem, its true solution in one wording, and at many depths other next
steps, right ones in other words and wrong ones, some carried on for one or two more steps. Each
branch attends to the problem, the true steps before it and itself; positions count along the
path. So one sequence of 384 tokens judges about 18 steps, where plain sequences would need 18
times the prompt and prefix. Batches are functions of (seed, number): training can resume anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ets.demo.chain import Step, carry_on
from ets.demo.check import check_step
from ets.demo.task import MAX_STEPS, MIN_STEPS, Problem, make_problem
from ets.demo.tokenizer import END, PAD, TAG, encode, encode_prompt, token_id
from ets.demo.training.slips import Pupil, misconception, pupil_solution, scattered_slip
from ets.demo.wording import STEP_END, word_step, wordings

TREE_LENGTH = 384
IGNORE = -100


Judge = Callable[[str], tuple[list[int], list[int]]]
"""Encodes a step and its tag, and labels each token."""


@dataclass(slots=True)
class Tree:
    """A packed tree under construction; `parent` is the token before, -1 at the root."""

    ids: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    target: list[int] = field(default_factory=list)
    """The next token where it is worth learning, else IGNORE."""
    label: list[int] = field(default_factory=list)
    """1 where all is right up to this token, 0 where not, IGNORE in the prompt."""
    fault: list[int] = field(default_factory=list)
    """1 at the first wrong token of a path, 0 at right ones, IGNORE after an error."""
    group: list[int] = field(default_factory=list)
    """At the tag of a first-level step: which siblings it belongs to; else -1."""

    def grow(self, at: int, ids: list[int], labels: list[int], group: int, learn: bool) -> int:
        """Append a run of tokens below token `at`; return its last index."""
        for place, (token, label) in enumerate(zip(ids, labels, strict=True)):
            if learn and at >= 0 and place:
                self.target[at] = token
            self.ids.append(token)
            self.parent.append(at)
            self.position.append(self.position[at] + 1 if at >= 0 else 0)
            self.target.append(IGNORE)
            fresh = label == 1 or (label == 0 and (at < 0 or self.label[at] != 0))
            self.label.append(label)
            self.fault.append(1 - label if fresh else IGNORE)
            self.group.append(-1)
            at = len(self.ids) - 1
        self.group[at] = group
        return at


@dataclass(frozen=True, slots=True)
class TreeBatch:
    """Packed trees as tensors: all [batch, length], the mask [batch, 1, length, length]."""

    ids: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor
    labels: Tensor
    faults: Tensor
    groups: Tensor


def judged(text: str, right: list[list[int]]) -> tuple[list[int], list[int]]:
    """Encode a step and its tag; label each token by whether a right step begins like that."""
    ids = encode(text)
    agree = 0
    exact = False
    for other in right:
        n = 0
        for a, b in zip(ids, other, strict=False):
            if a != b:
                break
            n += 1
        agree = max(agree, n)
        exact = exact or ids == other
    return [*ids, token_id(TAG)], [1] * agree + [0] * (len(ids) - agree) + [int(exact)]


def judge_of(step: Step) -> Judge:
    """Judge the wordings of a true step."""
    return partial(judged, right=[encode(text) for text in wordings(step)])


@dataclass(frozen=True, slots=True)
class Style:
    """How the steps of the training data are worded, and how worded steps are judged."""

    word: Callable[[random.Random, Step], str] = word_step
    judge: Callable[[Step], Judge] = judge_of
    check: Callable[[Problem, int, str], bool] = check_step
    length: int = TREE_LENGTH
    """Tokens of a packed tree."""


PLAIN = Style()
"""That of the bundled pair."""


def pack_tree(
    rng: random.Random, problem: Problem, samples: dict[int, list[list[str]]] | None = None,
    style: Style = PLAIN,
) -> Tree:  # fmt: skip
    """Pack a problem with its true solution and as many branches as fit.

    `samples` are continuations sampled from a policy: by depth, lists of steps.
    """
    tree = Tree()
    prompt = encode_prompt(problem.text)
    at = tree.grow(-1, prompt, [IGNORE] * len(prompt), -1, learn=False)
    judges = [style.judge(step) for step in problem.steps]
    beyond = partial(judged, right=[])
    tips = [at]
    for k, step in enumerate(problem.steps):
        ids = [*encode(style.word(rng, step)), token_id(TAG)]
        at = tree.grow(at, ids, [1] * len(ids), k, learn=True)
        tips.append(at)
    misses = 0
    while misses < 4:
        k = rng.randrange(len(problem.steps))
        if samples and samples.get(k) and rng.random() < 0.75:
            texts = samples[k].pop()
        else:
            texts = _branch(rng, problem, k, style)
        branch = [(judges[k + j] if k + j < len(judges) else beyond)(text)
                  for j, text in enumerate(texts)]  # fmt: skip
        if len(tree.ids) + sum(len(ids) for ids, _ in branch) > style.length:
            misses += 1
            continue
        at, good = tips[k], True
        for j, (ids, labels) in enumerate(branch):
            labels = labels if good else [0] * len(ids)
            good = good and labels[-1] == 1
            at = tree.grow(at, ids, labels, k if j == 0 else -1, learn=good)
    return tree


def stack_trees(trees: list[Tree], length: int = TREE_LENGTH) -> TreeBatch:
    """Turn packed trees into tensors, padded to one length."""

    def tensor(rows: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([row + [fill] * (length - len(row)) for row in rows])

    mask = np.zeros((len(trees), 1, length, length), dtype=np.bool_)
    for i, tree in enumerate(trees):
        own = mask[i, 0]
        for j, parent in enumerate(tree.parent):
            if parent >= 0:
                own[j] = own[parent]
            own[j, j] = True
        # Padding attends to itself, so that no row of the softmax is empty.
        for j in range(len(tree.ids), length):
            own[j, j] = True
    return TreeBatch(
        tensor([t.ids for t in trees], token_id(PAD)), tensor([t.position for t in trees], 0),
        torch.from_numpy(mask),
        tensor([t.target for t in trees], IGNORE), tensor([t.label for t in trees], IGNORE),
        tensor([t.fault for t in trees], IGNORE), tensor([t.group for t in trees], -1),
    )  # fmt: skip


def tree_batch(seed: int, number: int, size: int, longest: int = MAX_STEPS) -> TreeBatch:
    """Make batch `number` of packed trees of training problems."""
    rng = random.Random(f"prm-{seed}-{number}")
    return stack_trees([
        pack_tree(rng, make_problem(rng, rng.randint(MIN_STEPS, longest), "train"))
        for _ in range(size)
    ])  # fmt: skip


def policy_batches(
    seed: int, pool: int, pupil: Pupil, count: int, size: int, longest: int = MAX_STEPS,
    style: Style = PLAIN,
) -> list[tuple[Tensor, Tensor]]:  # fmt: skip
    """Make pool number `pool` of (ids, targets) batches, like lengths together, in random order."""
    rng = random.Random(f"policy-{seed}-{pool}")
    rows: list[tuple[list[int], int]] = []
    for _ in range(count * size):
        problem = make_problem(rng, rng.randint(MIN_STEPS, longest), "train")
        texts = [style.word(rng, step) for step in pupil_solution(rng, problem, pupil)]
        prompt = encode_prompt(problem.text)
        rows.append(([*prompt, *encode(STEP_END.join(texts)), token_id(END)], len(prompt)))
    rows.sort(key=lambda row: len(row[0]))
    batches = [_pad(rows[start : start + size]) for start in range(0, len(rows), size)]
    rng.shuffle(batches)
    return batches


def _pad(rows: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    longest = max(len(ids) for ids, _ in rows) - 1
    ids = torch.full((len(rows), longest), token_id(PAD))
    targets = torch.full((len(rows), longest), IGNORE)
    for i, (row, prompt) in enumerate(rows):
        ids[i, : len(row) - 1] = torch.tensor(row[:-1])
        targets[i, prompt - 1 : len(row) - 1] = torch.tensor(row[prompt:])
    return ids, targets


def _branch(rng: random.Random, problem: Problem, k: int, style: Style) -> list[str]:
    """Draw a next step for depth `k`, wrong four times in five, and perhaps some steps more."""
    truth = problem.steps[k]
    more = rng.choice((0, 0, 0, 1, 2))
    if rng.random() < 0.2:
        step = truth
    else:
        trap = misconception(truth, truth.left)
        systematic = trap is not None and rng.random() < 0.4
        step = trap[0] if trap and systematic else scattered_slip(rng, problem, k, truth)
    steps = [step]
    for later in problem.steps[k + 1 : k + 1 + more]:
        if step.final:
            break
        step = _follow(later, step)
        steps.append(step)
    return [style.word(rng, step) for step in steps]


def _follow(later: Step, before: Step) -> Step:
    if before.kind == "bags":
        return replace(later, right=before.result, result=later.left + before.result)
    return carry_on(later, before.result)
