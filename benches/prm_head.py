"""Train the head of a PRM on solutions that its policy wrote: no step checker is needed.

    python benches/prm_head.py RUN BASE TARGET

RUN is a run of `ets bench` with trees, BASE a checkpoint of the form of Qwen2.5-Math-PRM; TARGET
gets the same with a trained head. As the bundled PRM is trained on its policy's own solutions, so
is this; but what a step is worth is learnt from how the solution ended, right or wrong: the mean
is the chance that a solution which begins like this ends well. The layers stay as they are. A fifth
of the problems is held out, and the head is kept as it was when it told right from wrong best there
among solutions of the same problem at the same step (their AUROC, each problem by its pairs).
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel

from ets.bench.run_folder import RunFolder
from ets.checkpoint.source import Source
from ets.demo.training.evaluate import auroc
from ets.engines.local.torch_loading import one_load
from ets.errors import InputError
from ets.prm.formats import load_format
from ets.step import Prefix, Step

EPOCHS = 60
BATCH = 256
TOGETHER = 4
"""Solutions in one pass."""
HELD_OUT = 5
"""Every so many problems one."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A sampled solution and what came of it."""

    texts: tuple[str, ...]
    right: bool


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of many solutions."""

    states: Tensor
    """[steps, hidden size] where the head reads."""
    right: Tensor
    """[steps] whether the solution ended well."""
    group: tuple[tuple[int, int], ...]
    """[steps] problem and number of the step."""

    def of(self, problems: Iterable[int]) -> Steps:
        """Only those of some problems."""
        wanted = set(problems)
        rows = [i for i, (problem, _) in enumerate(self.group) if problem in wanted]
        return Steps(self.states[rows], self.right[rows], tuple(self.group[i] for i in rows))

    def auroc_within(self, rewards: Tensor) -> float:
        """The AUROC of rewards among steps of one problem and number."""
        return auroc_within(zip(self.group, rewards.tolist(), self.right.tolist(), strict=True))


def auroc_within(steps: Iterable[tuple[Hashable, float, bool]]) -> float:
    """The AUROC of (group, reward, right) inside groups, each weighing by its pairs."""
    rows: dict[Hashable, list[tuple[float, bool]]] = defaultdict(list)
    for group, reward, right in steps:
        rows[group].append((reward, right))
    pairs = [auroc(found) for found in rows.values()]
    return sum(pair[0] for pair in pairs) / max(1, sum(pair[1] for pair in pairs))


def solutions(run: RunFolder) -> dict[str, list[Solution]]:
    """By problem, every completed solution of the run."""
    texts = {problem.key: problem.text for problem in run.problems()}
    found: dict[str, list[Solution]] = {text: [] for text in texts.values()}
    for row in run.rows():
        tree = run.tree(row)
        if tree is None:
            raise InputError(
                f"{run.path} has no tree of problem {row['id']!r}: run without --no-trees"
            )
        for done, hit in zip(tree.trajectories, row["hits"], strict=True):
            steps = tuple(text for text in done.texts if text is not None and text.strip())
            if done.finished and steps:
                found[texts[row["id"]]].append(Solution(steps, hit))
    return {text: written for text, written in found.items() if written}


class Reader:
    """The layers below the head, which read solutions as the PRM will."""

    def __init__(self, path: Path) -> None:
        self._format = load_format(str(path), "qwen", {})
        with one_load(Source.of(str(path))):
            self._layers: Any = AutoModel.from_pretrained(path, dtype="auto").eval()

    @torch.inference_mode()
    def read(self, problem: str, solutions: Sequence[tuple[str, ...]]) -> list[Tensor]:
        """[solutions] of [steps, hidden size]: the states at the tags; the prompt is read once."""
        parts = [self._parts(problem, texts) for texts in solutions]
        prompt = self._layers(torch.tensor([parts[0][0]]), use_cache=True).past_key_values
        steps = [[torch.tensor(part) for part in rest] for _, *rest in parts]
        lengths = [sum(map(len, rest)) for rest in steps]
        found: dict[int, Tensor] = {}
        # Like lengths together, so that little is filled up.
        order = sorted(range(len(steps)), key=lengths.__getitem__)
        for start in range(0, len(order), TOGETHER):
            some = order[start : start + TOGETHER]
            cache = deepcopy(prompt)
            cache.batch_repeat_interleave(len(some))
            # What fills a row up stands behind its last tag, which does not see it.
            ids = nn.utils.rnn.pad_sequence([torch.cat(steps[i]) for i in some], batch_first=True)
            states = self._layers(ids, past_key_values=cache).last_hidden_state.float()
            for i, row in zip(some, states, strict=True):
                tags = torch.tensor([len(part) for part in steps[i]]).cumsum(0) - 1
                found[i] = row[tags]
        return [found[i] for i in range(len(steps))]

    def _parts(self, problem: str, texts: tuple[str, ...]) -> list[tuple[int, ...]]:
        """The ids of the prompt, and of each step with its tag."""
        steps = tuple(Step(text, (1,), "step") for text in texts)
        return list(self._format.parts(Prefix(problem, 0, (), steps)) or ())


def read(reader: Reader, found: dict[str, list[Solution]]) -> Steps:
    """All steps; equal solutions of a problem are read once."""
    states: list[torch.Tensor] = []
    right: list[bool] = []
    group: list[tuple[int, int]] = []
    for number, (problem, written) in enumerate(found.items()):
        texts = list(dict.fromkeys(solution.texts for solution in written))
        known = dict(zip(texts, reader.read(problem, texts), strict=True))
        for solution in written:
            rows = known[solution.texts]
            states.append(rows)
            right.extend([solution.right] * len(rows))
            group.extend((number, step) for step in range(len(rows)))
        print(f"\rread {number + 1} of {len(found)} problems", end="", flush=True)
    print()
    return Steps(torch.cat(states), torch.tensor(right), tuple(group))


def train(
    steps: Steps, held_out: Steps, seed: int = 0, contrast: float = 0.0
) -> tuple[nn.Sequential, float]:
    """The head, and its AUROC on what was held out.

    `contrast` weighs a second loss: of two solutions of one problem at one step, the logit of the
    one that ended right should be above the other's.
    """
    torch.manual_seed(seed)
    size = steps.states.shape[1]
    head = nn.Sequential(nn.Linear(size, size), nn.Dropout(0.3), nn.ReLU(), nn.Linear(size, 2))
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-4, weight_decay=0.1)
    pairs = pairs_of(steps) if contrast else torch.empty(0, 2)
    best, kept = 0.0, deepcopy(head)
    for epoch in range(EPOCHS):
        head.train()
        for rows in torch.split(torch.randperm(len(steps.right)), BATCH):
            loss = nn.functional.cross_entropy(head(steps.states[rows]), steps.right[rows].long())
            if contrast:
                loss = loss + contrast * pairs_lost(head, steps, drawn_pairs(pairs, BATCH))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        head.eval()
        with torch.no_grad():
            reached = held_out.auroc_within(head(held_out.states).softmax(-1)[:, 1])
        if reached > best:
            best, kept = reached, deepcopy(head)
            print(f"epoch {epoch + 1}: held-out AUROC {best:.3f}", flush=True)
    return kept, best


def pairs_of(steps: Steps) -> Tensor:
    """[pairs, 2]: a step of a right solution and one of a wrong one, of one problem and number."""
    groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for row, (group, right) in enumerate(zip(steps.group, steps.right.tolist(), strict=True)):
        groups[group][0 if right else 1].append(row)
    found = [(good, bad) for right, wrong in groups.values() for good in right for bad in wrong]
    return torch.tensor(found).reshape(-1, 2)


def drawn_pairs(pairs: Tensor, count: int) -> Tensor:
    """[count, 2] of them, with replacement; none of none."""
    return pairs[torch.randint(len(pairs), (count,))] if len(pairs) else pairs


def pairs_lost(head: nn.Sequential, steps: Steps, pairs: Tensor) -> Tensor:
    """The mean logistic loss of the order of pairs."""
    if not len(pairs):
        return torch.zeros(())
    good, bad = (head(steps.states[rows]) for rows in pairs.T)
    above = (good[:, 1] - good[:, 0]) - (bad[:, 1] - bad[:, 0])
    return nn.functional.softplus(-above).mean()


def train_prm(
    found: dict[str, list[Solution]], base: Path, target: Path, contrast: float = 0.0
) -> float:
    """Write the base with a head trained on solutions; its AUROC on every fifth problem."""
    steps = read(Reader(base), found)
    test = range(0, len(found), HELD_OUT)
    rest = [n for n in range(len(found)) if n not in test]
    print(
        f"{len(found)} problems, {sum(map(len, found.values()))} solutions, "
        f"{len(steps.right)} steps, {steps.right.float().mean():.0%} of them in right solutions"
    )
    head, reached = train(steps.of(rest), steps.of(test), contrast=contrast)
    write(head, base, target)
    print(f"{target}: AUROC within problem and step {reached:.3f}")
    return reached


def write(head: nn.Sequential, base: Path, target: Path) -> None:
    """The base with another head."""
    scratch = target.with_name(f"{target.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(base, scratch)
    weights = load_file(base / "model.safetensors")
    for place, layer in (("0", head[0]), ("2", head[3])):
        for name, value in layer.state_dict().items():
            key = f"score.{place}.{name}"
            weights[key] = value.to(weights[key].dtype).contiguous()
    save_file(weights, scratch / "model.safetensors", metadata={"format": "pt"})
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)


def main() -> None:
    """Read, train, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("base", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    train_prm(solutions(RunFolder(given.run)), given.base, given.target)


if __name__ == "__main__":
    main()
