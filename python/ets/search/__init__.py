"""The search over engines: many tree searches, one policy, one PRM, one embedder."""

from ets.answer.tally import Solution
from ets.rollout.budget import Budget
from ets.rollout.result import Answered, SearchResult
from ets.rollout.shared_budget import SharedBudget
from ets.rollout.until import Certain
from ets.search.search import Search

__all__ = ["Answered", "Budget", "Certain", "Search", "SearchResult", "SharedBudget", "Solution"]
