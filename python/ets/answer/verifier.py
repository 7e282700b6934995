"""math-verify in a process of its own, so that a comparison that hangs can be stopped.

Its own time-outs use `signal.alarm`, which only the main thread may; a process can be killed from
any.
"""

from __future__ import annotations

from ets.answer.child import Child

_SECONDS = 5.0
"""CPU seconds of one comparison: a loaded machine does not change a verdict."""
_KEPT = 65_536


class Verifier(Child):
    """Asks a process whether two answers are mathematically equal."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        super().__init__("verify", "compares answers", seconds)

    def same(self, a: str, b: str) -> bool:
        """`verdict`, where none counts as different."""
        return self.verdict(a, b) is True

    def verdict(self, a: str, b: str, wall: float | None = None) -> bool | None:
        """math-verify's verdict, in either direction: its rules for `x = 5` and sets are one-way.

        None if it took more than `seconds` of CPU time, or more than `wall` seconds by the clock.
        """
        verdict = self.ask(a, b, wall=wall)
        return verdict if isinstance(verdict, bool) else None


class Verdicts:
    """The verdicts of a verifier, kept; what ran out of time has none, and is asked again."""

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier
        self._kept: dict[tuple[str, str], bool] = {}

    def of(self, a: str, b: str, wall: float | None = None) -> bool | None:
        """`Verifier.verdict`, in whichever order the two come."""
        pair = (a, b) if a < b else (b, a)
        if (kept := self._kept.get(pair)) is not None:
            return kept
        verdict = self.verifier.verdict(*pair, wall)
        if verdict is not None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[pair] = verdict
        return verdict
