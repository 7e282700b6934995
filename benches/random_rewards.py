"""Rewards for a PRM whose weights mean nothing."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from ets.step import Prefix, Score


class RandomRewards:
    """A PRM that does all its work, with a reward made of the solution's ids in place of its own.

    A model of random weights gives all solutions the same score, and a search of equals is not
    what a search is like.
    """

    def __init__(self, prm: Any) -> None:
        self._prm = prm

    async def score(self, prefix: Prefix) -> Score:
        """The PRM's score with a reward uniform in [0, 1), the same for the same ids."""
        score: Score = await self._prm.score(prefix)
        ids = ",".join(map(str, prefix.token_ids))
        digest = hashlib.sha256(ids.encode()).digest()
        reward = int.from_bytes(digest[:4], "big") / 2**32
        return dataclasses.replace(score, reward=reward)

    async def aclose(self) -> None:
        """Nothing: the engine is closed by whoever started it."""
