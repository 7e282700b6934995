"""A PRM examined: what it reads, where it is read, whether that makes sense, how fast it is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Protocol, runtime_checkable

from ets.doctor.exam import FIRST_WRONG, PROBLEM, RIGHT, WRONG, solution
from ets.doctor.known import check_known
from ets.doctor.report import Report, Shown, pieces
from ets.engines.kv_space import HasKVSpace
from ets.engines.protocols import PRM
from ets.engines.vllm.load import EngineLoad
from ets.errors import EngineError, InputError
from ets.prm.formats import PRMFormat
from ets.prm.policy import PolicyPRM
from ets.step import Prefix, Score

_TIMED = 32
_MARGIN = 0.05
_TOLERANCE = {"exact": 1e-3, "close": 0.02}
"""How far incremental scores may be from full ones: in float32, and in half precision."""


@runtime_checkable
class HasFormat(Protocol):
    """A PRM whose prompt can be looked at."""

    @property
    def format(self) -> PRMFormat:
        """How it turns solutions into ids, and where it is read."""
        ...


@runtime_checkable
class HasIncremental(Protocol):
    """A PRM that can be told to read solutions from their first token."""

    incremental: bool


async def examine_prm(prm: PRM, name: str, *, known: bool = False) -> Report:
    """Score a right and a wrong solution of a small problem, step by step; `known` ones too."""
    report = Report("PRM", name)
    if isinstance(prm, PolicyPRM):
        report.find("note", "the policy judges its own steps: there is no model to be tried")
        return report
    try:
        right, wrong = await _score_steps(prm, RIGHT), await _score_steps(prm, WRONG)
        if isinstance(prm, HasFormat):
            _show(prm.format, right, report)
        _compare(right, wrong, report)
        if isinstance(prm, HasIncremental):
            full = await _read_in_full(prm)
            _check_incremental([*right, *wrong], full, report)
        await _time(prm, report)
        if isinstance(prm, HasKVSpace):
            space = await prm.kv_space()
            report.facts["KV cache"] = f"{space.tokens} tokens in blocks of {space.block_size}"
        if (at_once := EngineLoad.of(prm)) is not None:
            report.facts["at once"] = str(at_once)
        if known:
            await check_known(prm, name, report)
    except (EngineError, InputError) as error:
        report.find("bad", str(error))
    return report


async def _score_steps(prm: PRM, steps: tuple[str, ...]) -> list[Score]:
    """One score after the other, as a search asks for them."""
    return [await prm.score(solution(steps[:k])) for k in range(1, len(steps) + 1)]


def _show(form: PRMFormat, right: list[Score], report: Report) -> None:
    report.facts["format"] = f"{form.name} ({form.models})"
    report.facts["context"] = f"{form.max_length} tokens"
    parts = form.parts(solution(RIGHT)) or []
    shown = list(pieces(parts, form.checkpoint.tokenizer.decode))
    whole = form.ids(solution(RIGHT)) or ()
    ends = {form.ids(solution(RIGHT[:k])): right[k - 1].reward for k in range(1, len(RIGHT) + 1)}
    read = 0
    for i, piece in enumerate(shown):
        read += len(piece.ids)
        shown[i] = replace(piece, reward=ends.get(whole[:read]))
    report.shown.append(Shown("of the right solution the PRM reads", tuple(shown)))


def _compare(right: list[Score], wrong: list[Score], report: Report) -> None:
    for title, scores in (("right", right), ("wrong", wrong)):
        report.facts[f"the {title} solution"] = " ".join(f"{s.reward:.4f}" for s in scores)
    good, bad = right[FIRST_WRONG].reward, wrong[FIRST_WRONG].reward
    said = f"the right second step scores {good:.3f}, the wrong one {bad:.3f}"
    if good > bad + _MARGIN:
        report.find("good", said)
        return
    if good > bad:
        report.find("note", f"{said}: it hardly tells them apart")
        return
    report.find(
        "bad",
        f"{said}: it cannot tell them apart",
        "is it a PRM, and read in its own format? What it reads is shown above; format=NAME "
        "chooses another",
    )


async def _read_in_full(prm: PRM) -> list[Score]:
    """The scores of both solutions, read from the first token; none if they are always."""
    if not isinstance(prm, HasIncremental) or not prm.incremental:
        return []
    prm.incremental = False
    try:
        return [*await _score_steps(prm, RIGHT), *await _score_steps(prm, WRONG)]
    finally:
        prm.incremental = True


def _check_incremental(scores: list[Score], full: list[Score], report: Report) -> None:
    """The first scores read only what was new."""
    if not full:
        report.find("note", "it reads every solution from its first token: incremental is off")
        return
    cached = sum(score.cached_tokens for score in scores)
    total = sum(score.prompt_tokens for score in scores)
    largest = max(abs(a.reward - b.reward) for a, b in zip(scores, full, strict=True))
    said = f"incremental scores are within {largest:.1g} of full ones"
    if largest > _TOLERANCE["close"]:
        report.find("bad", f"{said}: its prefix cache gives other results", "incremental=false")
    elif largest > _TOLERANCE["exact"]:
        report.find("note", f"{said}, as in half precision")
    else:
        report.find("good", f"{said}; {cached} of {total} tokens came from its cache")


async def _time(prm: PRM, report: Report) -> None:
    problems = [f"{PROBLEM} Marbles of kind {k}." for k in range(_TIMED)]
    prefixes: list[Prefix] = [solution(RIGHT, problem=problem) for problem in problems]
    begin = time.perf_counter()
    scores = await asyncio.gather(*map(prm.score, prefixes))
    seconds = time.perf_counter() - begin
    read = sum(score.prompt_tokens - score.cached_tokens for score in scores)
    if read:
        report.facts["speed"] = f"{read / seconds:.0f} tokens/s read, {_TIMED} solutions at once"
    else:
        report.facts["speed"] = f"{_TIMED / seconds:.0f} steps/s"
