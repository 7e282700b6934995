"""What policies, PRMs and embedders return, checked where it enters a search.

Any object can be an engine, so anything can come back. What is right comes out as plain Python
values; what is not is an `EngineError` that names the engine, the field and the value. The rules:

- Numbers of numpy are taken for what they say, a sequence of ids becomes a tuple. Bools are no ids
  and no counts.
- A reward may be any real number: a bool is 1 or 0, since many rewards are verdicts, and a
  `Decimal`, a `Fraction` or an array without dimensions is its value. Texts, complex numbers and
  arrays with dimensions are none, not even of one entry.
- A lone surrogate in a step's text, half a character, becomes U+FFFD, as in tokenizers: no file or
  request could hold it.
- An embedding is what the protocol says, a float32 vector: another dtype is refused, not copied.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ets.certainty import Certainty
from ets.checks import MOST, as_integer, shown
from ets.dialogue import Turn
from ets.engines.kv_space import KVSpace
from ets.engines.whole_answers import writes_whole_answers
from ets.errors import EngineError
from ets.step import Finish, Prefix, Score, Step

T = TypeVar("T")
M = TypeVar("M", Prefix, Step, Score)

REWARD_DECIMALS = 6
"""Rewards are rounded to this many decimals: far below what a PRM means, far above what the make-up
of a batch changes in fp32, so that equal texts tie and a search does not depend on its company."""

_TOLERANCE = 1e-6
_FINISHES = get_args(Finish)


def awaitable(value: Awaitable[T], engine: object, call: str) -> Awaitable[T]:
    """What a call of an engine gave, if that can be awaited.

    # Errors
    `EngineError` if it cannot: the method is a plain function.
    """
    if not inspect.isawaitable(value):
        _refuse(engine, f"{call}()", "be awaitable, as of an async function", value)
    return value


def checked_root(root: object, policy: object) -> Prefix:
    """What `Policy.start` gave, in plain values."""
    if not isinstance(root, Prefix):
        _refuse(policy, "start()", "be an ets.engines.Prefix, of a plain function", root)
    if not isinstance(root.problem, str):
        _refuse(policy, "Prefix.problem", "be a text", root.problem)
    if not isinstance(root.steps, tuple) or root.steps:
        _refuse(policy, "Prefix.steps", "be (), as nothing is written yet", root.steps)
    prompt_tokens = _count(root.prompt_tokens, policy, "Prefix.prompt_tokens", 2**32 - 1)
    token_ids = _ids(root.token_ids, policy, "Prefix.token_ids")
    if root.before != () and not _are_turns(root.before):
        _refuse(policy, "Prefix.before", "be a tuple of ets.engines.Turn", root.before)
    problem = _whole(str(root.problem))
    return _with(root, problem=problem, prompt_tokens=prompt_tokens, token_ids=token_ids)


def checked_step(step: object, policy: object) -> Step:
    """What `Policy.sample` gave, in plain values."""
    if not isinstance(step, Step):
        _refuse(policy, "sample()", "be an ets.engines.Step", step)
    if not isinstance(step.text, str):
        _refuse(policy, "Step.text", "be a text", step.text)
    text = _whole(str(step.text))
    if not isinstance(step.finish, str) or step.finish not in _FINISHES:
        _refuse(policy, "Step.finish", f"be one of {list(_FINISHES)}", step.finish)
    token_ids = _ids(step.token_ids, policy, "Step.token_ids")
    if step.goes_on and text and not token_ids and not writes_whole_answers(policy):
        right = f"hold the ids of the text {shown(text)}, which the next step continues"
        _refuse(policy, "Step.token_ids", right, step.token_ids)
    if step.certainty is not None and not isinstance(step.certainty, Certainty):
        _refuse(policy, "Step.certainty", "be an ets.engines.Certainty, or None", step.certainty)
    return _with(
        step,
        text=text,
        token_ids=token_ids,
        finish=str(step.finish),
        thinking=_count(step.thinking, policy, "Step.thinking", len(text)),
        dropped_tokens=_count(step.dropped_tokens, policy, "Step.dropped_tokens"),
        written_tokens=_count(step.written_tokens, policy, "Step.written_tokens", 2**32 - 1),
        **_costs(step, policy),
    )


def checked_score(score: object, prm: object) -> Score:
    """What `PRM.score` gave, in plain values, the reward rounded and in [0, 1]."""
    if not isinstance(score, Score):
        _refuse(prm, "score()", "be an ets.engines.Score", score)
    return _with(
        score,
        reward=checked_reward(score.reward, prm),
        written_tokens=_count(score.written_tokens, prm, "Score.written_tokens"),
        **_costs(score, prm),
    )


def checked_reward(reward: object, prm: object) -> float:
    """A reward as a float in [0, 1], rounded to `REWARD_DECIMALS`."""
    number = reward if type(reward) is float else _real(reward)
    if number is None:
        _refuse(prm, "the reward", "be a number in [0, 1]", reward)
    if not -_TOLERANCE <= number <= 1 + _TOLERANCE:  # NaN is not
        _refuse(prm, "the reward", "lie in [0, 1]", reward)
    rounded = min(1.0, max(0.0, round(number, REWARD_DECIMALS)))
    return number if rounded == number > 0 else rounded


def checked_rewards(rewards: object, count: int, prm: object) -> list[float]:
    """What `JudgesSteps.judge_step` gave: `count` rewards, each as `checked_reward` has it."""
    if not isinstance(rewards, Sequence) or len(rewards) != count:
        _refuse(prm, "judge_step()", f"be a sequence of {count} rewards", rewards)
    return [checked_reward(reward, prm) for reward in rewards]


def checked_space(space: object, engine: object) -> KVSpace:
    """What `HasKVSpace.kv_space` gave."""
    if not isinstance(space, KVSpace):
        _refuse(engine, "kv_space()", "be an ets.engines.kv_space.KVSpace", space)
    return space


def checked_embedding(vector: object, embedder: object, length: int | None) -> NDArray[np.float32]:
    """What `Embedder.embed` gave, of `length` numbers if that is known, safe from later writes."""
    right = "be a 1-dimensional float32 array"
    if not isinstance(vector, np.ndarray) or isinstance(vector, np.ma.MaskedArray):
        _refuse(embedder, "the embedding", right, vector)
    if vector.dtype != np.float32 or vector.ndim != 1:
        got = _Said(f"of {vector.dtype} and shape {vector.shape}")
        _refuse(embedder, "the embedding", right, got)
    if length is not None and len(vector) != length:
        got = _Said(f"of {len(vector)} numbers")
        _refuse(embedder, "the embedding", f"have {length}, as those before it", got)
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.dot(vector, vector)
    # False for NaN, and for some values that are right, since squares overflow and vanish.
    if not 0.0 < square < np.inf and not (np.isfinite(vector).all() and vector.any()):
        _refuse(embedder, "the embedding", "be finite and not zero", vector)
    return vector.copy() if vector.flags.writeable else vector


def _are_turns(before: object) -> bool:
    return isinstance(before, tuple) and all(isinstance(turn, Turn) for turn in before)


class _Said:
    """A value of which something else than its repr is to be shown."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _with(made: M, **right: Any) -> M:
    """The same object where its fields are right, else one of its class in which they are."""
    changed = {name: value for name, value in right.items() if value is not getattr(made, name)}
    return replace(made, **changed) if changed else made


def _ids(ids: object, engine: object, field: str) -> tuple[int, ...]:
    right = "be a token id, an integer from 0 to 2**63 - 1"
    plain: tuple[Any, ...]
    if type(ids) is tuple:
        plain = ids
    elif getattr(ids, "ndim", None) == 1 and callable(listed := getattr(ids, "tolist", None)):
        plain = tuple(listed())  # an array or a tensor
    elif isinstance(ids, Sequence) and not isinstance(ids, str | bytes | bytearray):
        plain = tuple(ids)
    else:
        _refuse(engine, field, "be a tuple of token ids", ids)
    if not set(map(type, plain)) <= {int}:
        numbers = [as_integer(token) for token in plain]
        if None in numbers:
            at = numbers.index(None)
            _refuse(engine, f"{field}[{at}]", right, plain[at])
        plain = tuple(numbers)
    if plain and not (min(plain) >= 0 and max(plain) <= MOST):
        at = next(i for i, token in enumerate(plain) if not 0 <= token <= MOST)
        _refuse(engine, f"{field}[{at}]", right, plain[at])
    return plain


def _costs(made: Step | Score, engine: object) -> dict[str, Any]:
    """What both say of their requests; nothing where it is plain and right, as nearly always."""
    counts = (made.prompt_tokens, made.cached_tokens, made.preemptions)
    plain = type(counts[0]) is type(counts[1]) is type(counts[2]) is int
    if plain and min(counts) >= 0 and max(counts) <= MOST and type(made.banked) is bool:
        return {}
    if not isinstance(made.banked, bool | np.bool_):
        _refuse(engine, f"{type(made).__name__}.banked", "be True or False", made.banked)
    checked = {
        name: _count(getattr(made, name), engine, f"{type(made).__name__}.{name}")
        for name in ("prompt_tokens", "cached_tokens", "preemptions")
    }
    return {**checked, "banked": bool(made.banked)}


def _count(value: object, engine: object, field: str, most: int = MOST) -> int:
    number = value if type(value) is int else as_integer(value)
    if number is None or not 0 <= number <= most:
        bounds = "at least 0" if most == MOST else f"0 to {most}"
        _refuse(engine, field, f"be an integer of {bounds}", value)
    return number


def _whole(text: str) -> str:
    """A text without lone surrogates."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # Two halves that belong together become the character that they are.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _real(value: object) -> float | None:
    """A real number as a float; None for what is none."""
    if getattr(value, "shape", None) == () and callable(item := getattr(value, "item", None)):
        value = item()  # a scalar of numpy, an array or a tensor without dimensions
    if not isinstance(value, Real | Decimal):
        return None
    try:
        return float(value)
    except (OverflowError, ValueError):  # beyond the floats; a signalling NaN
        return math.nan


def _refuse(engine: object, field: str, right: str, got: object) -> NoReturn:
    if inspect.iscoroutine(got):
        got.close()  # else Python warns, later and elsewhere, that it was never awaited
    name = type(engine).__name__
    raise EngineError(f"{name} gave {field} {shown(got)}; it must {right}")
