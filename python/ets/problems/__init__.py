"""Problems: one with its right answer, and files of them in every dress."""

from ets.problems.problem import Fields, Problem, checked

__all__ = ["Fields", "Problem", "checked"]
