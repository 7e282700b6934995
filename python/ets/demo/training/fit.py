"""The training loop's state: Muon and AdamW, the schedule, and a checkpoint that survives a kill.

Batches and dropout-free networks make a run a function of (seed, step), so a checkpoint of
weights, optimiser state and step number is all that resuming needs.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ets.demo.training.model import PRM, Policy, export


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps and learning rates: warm up, hold, then fall linearly from `hold` on to `end`."""

    steps: int
    muon: float = 4e-3
    adam: float = 3e-3
    warmup: int = 50
    hold: float = 0.4
    end: float = 0.02
    start: float = 1.0
    """The height of the plateau, below 1 where a stage goes on from another."""
    grown: int = 99
    """Layers from this one on are new and learn at the rate `muon_grown`."""
    muon_grown: float = 4e-3

    def factor(self, step: int) -> float:
        """Return the factor on both learning rates at `step`."""
        if step < self.warmup:
            return self.start * (step + 1) / self.warmup
        done = (step - self.hold * self.steps) / ((1 - self.hold) * self.steps)
        return self.start + (self.end - self.start) * min(max(done, 0.0), 1.0)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal, in float32.

    `torch.optim.Muon` works in bfloat16, which a CPU without such units does 30 times slower.
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make one step."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonal(weight.grad.lerp(average, group["momentum"]))
                # As large as an AdamW step: root mean square 0.2.
                scale = 0.2 * max(weight.shape) ** 0.5
                weight.add_(update, alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    """Return roughly the nearest orthogonal matrix, by Newton-Schulz iteration."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    tall = matrix.shape[0] > matrix.shape[1]
    return cast(Tensor, x.T if tall else x)


class Run:
    """One training run in a folder: `checkpoint.pt`, `log.jsonl`, and exports on demand."""

    def __init__(self, model: Policy | PRM, schedule: Schedule, folder: Path, every: float) -> None:
        self.model = model
        self.schedule = schedule
        self.folder = folder
        self.every = every
        self.step = 0
        old: list[nn.Parameter] = []
        new: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "layers" in name:
                (new if int(name.split(".")[2]) >= schedule.grown else old).append(weight)
            else:
                rest.append(weight)
        self.optimisers: list[tuple[torch.optim.Optimizer, float]] = [
            (Muon(old, schedule.muon), schedule.muon),
            *([(Muon(new, schedule.muon_grown), schedule.muon_grown)] if new else []),
            (torch.optim.AdamW(rest, lr=schedule.adam, betas=(0.9, 0.98), weight_decay=0.0,
                               fused=True), schedule.adam),
        ]  # fmt: skip
        self._saved = self._begun = time.monotonic()
        self._spent = 0.0
        self._sums: dict[str, float] = {}
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.step >= self.schedule.steps

    @property
    def seconds(self) -> float:
        """Wall time spent on this run, earlier parts included."""
        return self._spent + time.monotonic() - self._begun

    def update(self, loss: Tensor, figures: dict[str, float]) -> None:
        """Make one optimiser step; log every 25 steps and save when the interval is over."""
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        factor = self.schedule.factor(self.step)
        for optimiser, rate in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self._count += 1
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self.step % 25 == 0 or self.done:
            self._log()
        if self.done or time.monotonic() - self._saved > self.every:
            self.save()

    def save(self) -> None:
        """Write the checkpoint atomically, so that a kill leaves the old one or the new one."""
        state = {
            "step": self.step, "seconds": self.seconds, "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser, _ in self.optimisers],
        }  # fmt: skip
        partial = self.folder / "checkpoint.partial"
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / "checkpoint.pt")
        self._saved = time.monotonic()

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for (optimiser, _), saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self._spent = state["step"], state["seconds"]
        print(f"{self.folder.name}: going on from step {self.step}", flush=True)

    def _log(self) -> None:
        line: dict[str, Any] = {"step": self.step, "seconds": round(self.seconds)}
        line |= {name: round(value / self._count, 4) for name, value in self._sums.items()}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{self.folder.name}: {line}", flush=True)
        self._sums, self._count = {}, 0


def load_weights(model: Policy | PRM, folder: Path) -> None:
    """Load the weights of the checkpoint in a run's folder."""
    model.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["model"])


def export_run(model: Policy | PRM, run: Path, folder: Path) -> None:
    """Write the newest checkpoint of a run in the standard format."""
    load_weights(model, run)
    export(model, folder)
