"""Scripted engines for worker processes, which misbehave once, where a file says so."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ets.errors import EngineLostError, InputError
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedPolicy


@dataclass
class Fateful(ScriptedPolicy):
    """Does what the file `fate` says before the third step of any problem, and removes the file."""

    fate: str = ""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        if self.fate and len(prefix.steps) == 2:
            await self._meet(Path(self.fate))
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    async def _meet(self, fate: Path) -> None:
        try:
            text = fate.read_text("ascii")
            fate.unlink()
        except FileNotFoundError:  # another one met it
            return
        if text == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif text == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif text == "exit":
            os._exit(7)
        elif text == "block":
            time.sleep(600)
        elif text == "hang":
            await asyncio.Event().wait()
        elif text == "lost":
            raise EngineLostError("the GPU has gone")
        else:
            raise ValueError(text)


@dataclass
class Deadly(ScriptedPolicy):
    """Ends its process at the first sample."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        os.kill(os.getpid(), signal.SIGKILL)
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


@dataclass
class Endless(ScriptedPolicy):
    """Its second steps never come; `folder` gets a file `begun` for one and `cancelled`."""

    folder: str = ""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        try:
            while prefix.steps:
                Path(self.folder, "begun").touch()
                await asyncio.sleep(1)
        except asyncio.CancelledError:
            Path(self.folder, "cancelled").touch()
            raise
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


@dataclass
class Gated(ScriptedPolicy):
    """Its steps come once `folder` has a file `open`; it gets `begun PID PROBLEM` for each problem
    and `cancelled PROBLEM`. A process with a file `lost PID` has no engine any more."""

    folder: str = ""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        folder, pid = Path(self.folder), os.getpid()
        (folder / f"begun {pid} {prefix.problem}").touch()
        try:
            while not (folder / "open").exists():
                if (folder / f"lost {pid}").exists():
                    raise EngineLostError("the GPU has gone")
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            (folder / f"cancelled {prefix.problem}").touch()
            raise
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)


@dataclass
class Devices(ScriptedPolicy):
    """Says in its steps which GPUs its process may see, and how many threads it has."""

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        told = f"{seen} {os.environ['OMP_NUM_THREADS']} {os.environ.get('OF_THE_TEST')}"
        return Step(f"The answer is {told}.", (1, 2), "answer")


class Unloadable(ScriptedPolicy):
    """Cannot be loaded in a worker."""

    def __setstate__(self, state: object) -> None:
        raise InputError("policy must be another one")

    def __getstate__(self) -> object:
        return {"a": 1}


@dataclass
class Stuck(ScriptedPolicy):
    """Is never loaded in a worker; `folder` gets a file `loads` with its id."""

    folder: str = ""

    def __setstate__(self, state: dict[str, object]) -> None:
        Path(str(state["folder"]), "loads").write_text(str(os.getpid()), "ascii")
        time.sleep(600)


def half(problem: str, steps: list[str]) -> float:
    """A PRM that is a function of a module."""
    return 0.5 if len(steps[-1]) % 2 else 0.25


class Half:
    """The same as an object."""

    async def score(self, prefix: Prefix) -> Score:
        return Score(0.5)

    async def aclose(self) -> None:
        """Nothing to free."""
