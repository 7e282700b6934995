"""Engines that look into the sample bank before they compute."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ets.bench.bank import SampleBank, digest, identity, of_ids
from ets.certainty import Certainty
from ets.dialogue import Dialogue
from ets.engines.local.prefix_cache import ForgetsPrefixes
from ets.engines.protocols import PRM, Embedder, Policy
from ets.engines.start import start
from ets.errors import EngineError
from ets.policy.chat_options import ChatOptions
from ets.step import Prefix, Score, Step

T = TypeVar("T")


class BankedPolicy:
    """A policy whose samples are kept by model, prompt ids (or texts), token limit and seed.

    What else the policy can do (`kv_space`, `embedder`, `prompt`) it can still.
    """

    def __new__(cls, policy: Policy, bank: SampleBank, model: bytes) -> BankedPolicy:
        """One that can what the policy can."""
        return object.__new__(_with_rest_of(cls, policy, "_policy"))

    def __init__(self, policy: Policy, bank: SampleBank, model: bytes) -> None:
        self._policy, self._bank, self._model = policy, bank, model

    def start(self, problem: str) -> Prefix:
        """As the policy itself."""
        return self._policy.start(problem)

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        """As the policy itself, if that takes dialogues."""
        return start(self._policy, dialogue)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """The step of the bank, or the policy's, which is kept."""
        sent = of_ids(prefix.token_ids) if prefix.token_ids else self._asked(prefix)
        key = digest(b"step 2", self._model, sent, f"{seed} {max_tokens}".encode())
        if (found := await self._bank.find(key)) is not None:
            with _told_from_damage(self._bank):
                return _step(found)
        step = await self._policy.sample(prefix, seed=seed, max_tokens=max_tokens)
        await self._bank.keep(key, _fields(step))
        return step

    def _asked(self, prefix: Prefix) -> bytes:
        """What is asked for where there are no ids: texts, and what files of options hold."""
        texts = [[turn.role, turn.content] for turn in prefix.before]
        steps = [step.text for step in prefix.steps]
        options = getattr(self._policy, "options", None)
        chat = asdict(options) if isinstance(options, ChatOptions) else None
        said = json.dumps([texts, prefix.problem, steps, chat], sort_keys=True)
        return digest(b"texts", said.encode())

    async def forget_prefixes(self) -> None:
        """As the policy itself, where it can."""
        await _forget_prefixes(self._policy)

    async def aclose(self) -> None:
        """As the policy itself."""
        await self._policy.aclose()


class BankedPRM:
    """A PRM whose scores are kept by model, problem and steps.

    What else the PRM can do (`format`, `engine`) it can still.
    """

    def __new__(cls, prm: PRM, bank: SampleBank, model: bytes) -> BankedPRM:
        """One that can what the PRM can."""
        return object.__new__(_with_rest_of(cls, prm, "_prm"))

    def __init__(self, prm: PRM, bank: SampleBank, model: bytes) -> None:
        self._prm, self._bank, self._model = prm, bank, model

    async def score(self, prefix: Prefix) -> Score:
        """The score of the bank, or the PRM's, which is kept."""
        before = [text for turn in prefix.before for text in (turn.role, turn.content)]
        texts = (*before, prefix.problem, *(step.text for step in prefix.steps))
        encoded = (text.encode("utf-8", "surrogatepass") for text in texts)
        # How much came before goes in, so that no dialogue reads as a problem with more steps.
        kind = b"score of a dialogue %d" % len(before) if before else b"score"
        key = digest(kind, self._model, *encoded)
        if (found := await self._bank.find(key)) is not None:
            with _told_from_damage(self._bank):
                return Score(**found, banked=True)
        score = await self._prm.score(prefix)
        await self._bank.keep(key, _without_flag(asdict(score)))
        return replace(score, banked=False)

    async def forget_prefixes(self) -> None:
        """As the PRM itself, where it can."""
        await _forget_prefixes(self._prm)

    async def aclose(self) -> None:
        """As the PRM itself."""
        await self._prm.aclose()


class BankedEmbedder:
    """An embedder whose vectors are kept by model and text."""

    def __init__(self, embedder: Embedder, bank: SampleBank, model: bytes) -> None:
        self._embedder, self._bank, self._model = embedder, bank, model

    async def embed(self, text: str) -> NDArray[np.float32]:
        """The vector of the bank, or the embedder's, which is kept."""
        key = _vector_key(self._model, text)
        if (found := await self._bank.find(key)) is not None:
            return _vector(self._bank, found)
        vector = await self._embedder.embed(text)
        await self._bank.keep(key, np.asarray(vector, dtype="<f4").tobytes().hex())
        return vector

    async def aclose(self) -> None:
        """As the embedder itself."""
        await self._embedder.aclose()


def banked_vector(bank: SampleBank, model: bytes, text: str) -> NDArray[np.float32] | None:
    """The vector that the embedder `model` gave for a text, if the bank has it."""
    found = bank.get(_vector_key(model, text))
    return None if found is None else _vector(bank, found)


def embedder_identity(search: Mapping[str, Any]) -> bytes:
    """What tells the embedder of a search from others, by the arguments of the search."""
    name, options = search.get("embedder", "lexical"), search.get("embedder_options", {})
    # The embedder `policy` is whatever model the policy is.
    policy = search.get("policy", "demo"), search.get("policy_options", {})
    whose = identity(*policy) if name.partition("?")[0] == "policy" else b""
    return digest(whose, identity(name, options))


def _with_rest_of(kind: type[T], engine: object, at: str) -> type[T]:
    """`kind` with the public attributes that only the engine has, which stands in attribute `at`.

    By properties, since from Python 3.12 on protocols do not see what `__getattr__` answers.
    """
    rest = {name for name in dir(engine) if not name.startswith("_")} - {*dir(kind)}
    return type(
        kind.__name__, (kind,), {name: property(attrgetter(f"{at}.{name}")) for name in rest}
    )


async def _forget_prefixes(engine: object) -> None:
    if isinstance(engine, ForgetsPrefixes):
        await engine.forget_prefixes()


def _vector(bank: SampleBank, found: Any) -> NDArray[np.float32]:
    with _told_from_damage(bank):
        return np.frombuffer(bytes.fromhex(found), dtype="<f4").astype(np.float32)


@contextmanager
def _told_from_damage(bank: SampleBank) -> Iterator[None]:
    """`EngineError` for an answer that a bank was not given."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the sample bank {bank.path} holds an answer that is none") from error


def _vector_key(model: bytes, text: str) -> bytes:
    return digest(b"vector", model, text.encode("utf-8", "surrogatepass"))


def _fields(step: Step) -> dict[str, Any]:
    """A step as JSON-able values."""
    fields = _without_flag(asdict(step))
    certainty = fields.pop("certainty")
    return fields if certainty is None else {**fields, "certainty": certainty["packed"].hex()}


def _step(fields: dict[str, Any]) -> Step:
    certain = fields.get("certainty")
    certainty = None if certain is None else Certainty(bytes.fromhex(certain))
    ids = tuple(fields["token_ids"])
    return Step(**{**fields, "token_ids": ids, "certainty": certainty}, banked=True)


def _without_flag(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != "banked"}
