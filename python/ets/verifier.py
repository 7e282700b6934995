"""math-verify in a process of its own."""

from ets.answer.verifier import Verifier

__all__ = ["Verifier"]
