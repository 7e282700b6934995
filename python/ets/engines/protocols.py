"""What an engine must offer: a policy, a PRM, an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ets.dialogue import Dialogue
from ets.step import Prefix, Score, Step


@runtime_checkable
class Policy(Protocol):
    """A language model that writes one step at a time.

    Any object with these three methods can stand where a name such as `vllm:PATH` can.
    `sample` is called many times at once, from the event loop of the search, and of each search
    where several share the policy; batching is the policy's own matter.
    """

    def start(self, problem: str) -> Prefix:
        """The empty solution of a problem: its prompt as token ids. Called from any thread.

        # Errors
        `InputError`, a line that names the model, the length and the limit, if the prompt leaves
        no room for a step.
        """
        ...

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """One continuation of `prefix` by one step of at most `max_tokens` tokens.

        The same prefix and seed give the same step, as far as the engine can promise it.
        When the call is cancelled, the request must be aborted in the engine.

        A step may be white space only: a PRM scores it as the solution before it. A step may have
        no token, where the sequence or the context ends at once; it is an `end` then, and the
        solution is complete as it stands.

        # Errors
        `EngineError` of one line if the engine cannot answer.
        """
        ...

    async def aclose(self) -> None:
        """Free the engine. Called once."""
        ...


@runtime_checkable
class TakesDialogues(Protocol):
    """A policy that can be given what was said before a problem, system message included."""

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        """The empty solution of a dialogue: its prompt as token ids. Called from any thread.

        It is asked where something comes before the problem, `start` otherwise.

        # Errors
        As those of `start`; `InputError` for messages that its prompt cannot hold.
        """
        ...


@runtime_checkable
class Rereads(Protocol):
    """A policy that can go on from steps of which only the texts are kept: a saved tree's."""

    def reread(self, prefix: Prefix, text: str) -> Step:
        """The step behind `prefix` that has this text, with ids that the policy would read it as.

        They may be others than those once sampled, where a text has several. Called from any
        thread.
        """
        ...


@runtime_checkable
class PRM(Protocol):
    """A model that says how good the last step of a partial solution is.

    Any object with these two methods can stand where a name such as `vllm:PATH` can; so can a plain
    function `f(problem: str, steps: list[str]) -> float` (see `ets.prm.function`).
    """

    async def score(self, prefix: Prefix) -> Score:
        """The reward in [0, 1] of `prefix`'s last step, given everything before it."""
        ...

    async def aclose(self) -> None:
        """Free the engine. Called once."""
        ...


@runtime_checkable
class JudgesSteps(Protocol):
    """A PRM whose verdicts hold beside each other only: by rank among a step's continuations."""

    def judge_step(self, rewards: Sequence[float]) -> Sequence[float]:
        """The rewards in [0, 1] in the place of those that `score` gave one problem's newest
        continuations, of whatever parents, in any order. Called once they have all come.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """A model that turns a step's text into a vector whose direction is its meaning."""

    async def embed(self, text: str) -> NDArray[np.float32]:
        """A float32 vector, not zero, of the same length for every text."""
        ...

    async def aclose(self) -> None:
        """Free the model. Called once."""
        ...


@runtime_checkable
class HasEmbedder(Protocol):
    """A policy whose model can embed its own steps."""

    def embedder(self, **options: Any) -> Embedder:
        """An embedder of the mean of the model's hidden states; whoever asked for it closes it.

        # Errors
        `InputError` for an unknown option.
        """
        ...


@runtime_checkable
class InstantEmbedder(Embedder, Protocol):
    """An embedder that can answer without waiting, so that a text costs no task."""

    def vector(self, text: str) -> NDArray[np.float32]:
        """The same as `embed`. Called from any thread."""
        ...


@runtime_checkable
class WaitsForServer(Protocol):
    """An engine on a server which it waits for when that has gone."""

    @property
    def patience(self) -> float:
        """Seconds that it was told to wait."""
        ...

    def wait_at_most(self, seconds: float) -> None:
        """Wait no longer from now on; where a search has other replicas to go on with."""
        ...


@runtime_checkable
class TellsLoss(Protocol):
    """An engine that learns of its end by itself, with no request to show it."""

    async def until_lost(self) -> str:
        """Wait until it is lost; its last words, of one line.

        # Errors
        `EngineError` if it is closed.
        """
        ...


@runtime_checkable
class HasRanks(Protocol):
    """A policy of several engines, of which one can be asked for."""

    def ranks(self) -> Sequence[Policy]:
        """Each of its engines as a policy, which ends with this one; none where it is but one."""
        ...
