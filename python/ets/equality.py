"""Are two answers the same number, expression, tuple or word?"""

from ets.answer.equality import same_answer
from ets.answer.fold import fold as normalise

__all__ = ["normalise", "same_answer"]
