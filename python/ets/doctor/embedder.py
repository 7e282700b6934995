"""An embedder examined: whether it tells steps that mean the same from others, how fast it is."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from ets.doctor.exam import FIRST_WRONG, RIGHT, SAME, WRONG
from ets.doctor.report import Report
from ets.engines.protocols import Embedder
from ets.errors import EngineError, InputError

_TIMED = 64


async def examine_embedder(embedder: Embedder, name: str) -> Report:
    """Embed a step, one that says the same in other words, and one that does something else."""
    report = Report("embedder", name)
    try:
        texts = (RIGHT[FIRST_WRONG], SAME, WRONG[FIRST_WRONG])
        vectors = np.stack([await embedder.embed(text) for text in texts]).astype(np.float64)
        report.facts["vectors"] = f"{vectors.shape[1]} numbers each"
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.isfinite(vectors).all() or not lengths.all():
            report.find("bad", "a vector is zero or holds numbers that are not finite")
            return report
        first, same, other = vectors / lengths[:, None]
        _compare(float(first @ same), float(first @ other), report)
        await _time(embedder, report)
    except (EngineError, InputError) as error:
        report.find("bad", str(error))
    return report


def _compare(same: float, other: float, report: Report) -> None:
    said = (
        f"a step is alike by {same:.3f} (cosine) to one that says the same, by {other:.3f} to one "
        "that computes something else"
    )
    report.find("good" if same > other else "note", said)


async def _time(embedder: Embedder, report: Report) -> None:
    texts = [f"{RIGHT[0]} Bag {k}." for k in range(_TIMED)]
    begin = time.perf_counter()
    await asyncio.gather(*map(embedder.embed, texts))
    seconds = time.perf_counter() - begin
    report.facts["speed"] = f"{_TIMED / seconds:.0f} steps/s, {_TIMED} at once"
