"""Are two answers the same number, expression, tuple or word?"""

from ets.answer.equality import same_answer

__all__ = ["same_answer"]
