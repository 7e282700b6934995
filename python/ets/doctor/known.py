"""A PRM held against scores that are known: those of its authors' example.

A PRM that is read at the wrong token, or of a text that differs in a space, still tells right from
wrong; its authors' own numbers it does not give. The texts are those of the sources, word for word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ets.doctor.exam import solution
from ets.doctor.report import Report
from ets.engines.protocols import PRM

_TABLE = Path(__file__).with_name("known.json")


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A solution whose step scores are known."""

    model: str
    """What the checkpoint is called, in lower case, without what stands before the last slash."""
    problem: str
    steps: tuple[str, ...]
    scores: tuple[float, ...]
    """One for each step."""
    tolerance: float
    """How far a score may be off. 0.05 in half precision: 0.036 was seen with the card's own code
    on the second step of Qwen2.5-Math-PRM-7B's example, under another version of transformers."""
    source: str


def known_answers(name: str) -> list[KnownAnswer]:
    """The known answers of the PRM of a name, such as `vllm:Qwen/Qwen2.5-Math-PRM-7B`."""
    path = name.partition("?")[0].partition(":")[2].partition("@")[0] or name.partition("?")[0]
    label = path.rstrip("/").rpartition("/")[2].lower()
    return [known for known in all_known() if known.model == label]


def all_known() -> tuple[KnownAnswer, ...]:
    """The whole table.

    vLLM's tests hold 0.9995, 0.1813, 0.9746, 0.9995 for Qwen2.5-Math-PRM-7B; those are of the same
    problem in a prompt of another form (`<im_start>` without pipes), in float16, which no search
    sends. The table has the model card's, whose prompt is the one that `qwen` writes.
    """
    return tuple(
        KnownAnswer(**{**row, "steps": tuple(row["steps"]), "scores": tuple(row["scores"])})
        for row in json.loads(_TABLE.read_text("utf-8"))
    )


async def check_known(
    prm: PRM, name: str, report: Report, known: Sequence[KnownAnswer] | None = None
) -> None:
    """Score the known solutions as a search does, step by step; the report says how they compare.

    # Errors
    `EngineError` if the engine fails.
    """
    found = known_answers(name) if known is None else known
    if not found:
        models = ", ".join(dict.fromkeys(answer.model for answer in all_known()))
        report.find("note", f"no scores of {name} are known; they are of {models}")
    for answer in found:
        scores = [
            (await prm.score(solution(answer.steps[:k], problem=answer.problem))).reward
            for k in range(1, len(answer.steps) + 1)
        ]
        off = [abs(a - b) for a, b in zip(scores, answer.scores, strict=True)]
        said = (
            f"known scores ({answer.source}): {_line(answer.scores)}; here {_line(scores)}; "
            f"off by at most {max(off):.4f}"
        )
        if max(off) <= answer.tolerance:
            report.find("good", f"{said}, within {answer.tolerance:g}")
        else:
            report.find(
                "bad",
                f"{said} at step {off.index(max(off)) + 1}, more than {answer.tolerance:g}",
                "it is read in another way than its authors do, or is another model: what it "
                "reads is shown above; quantised weights differ too",
            )


def _line(scores: Sequence[float]) -> str:
    return " ".join(f"{score:.4f}" for score in scores)
