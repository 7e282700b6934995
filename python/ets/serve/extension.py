"""What a request may say of its search, and what an answer says of it, under `ets`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ets.answer import Aggregation, VoteMethod
from ets.rollout.result import SearchResult
from ets.strategy.registry import StrategyName

Count = Annotated[int, Field(ge=1, le=2**32)]
Weight = Annotated[float, Field(ge=0, le=1e300, allow_inf_nan=False)]


class Wishes(BaseModel):
    """Settings of one request; what is left out is as the configuration has it.

    Budgets and limits only lower what the server allows.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    strategy: StrategyName | None = None
    width: Count | None = None
    lambda_b: Weight | None = None
    lambda_d: Weight | None = None
    tokens: Count | None = None
    """Tokens that the policy samples, at which the search ends with its best answer so far."""
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    prm_calls: Count | None = None
    kv_budget: Count | Literal["auto"] | None = None
    max_step_tokens: Count | None = None
    max_depth: Count | None = None
    vote: VoteMethod | None = None
    score: Aggregation | None = None
    votes: bool = False
    """Whether the answer has all votes."""
    tree: bool = False
    """Whether the answer has the tree."""
    events: bool = False
    """Whether a stream has the tree's events, as named events beside its chunks."""


class VoteOut(BaseModel):
    """What one answer got."""

    answer: str
    weight: float
    count: int


class KVOut(BaseModel):
    """KV tokens, summed over the steps: of the candidates, of what was kept, and of what REBASE
    would have kept."""

    before: int
    after: int
    rebase: int
    saved: float
    """The share of REBASE's that was not kept."""


class Found(BaseModel):
    """What a search found."""

    id: str
    """Of the search, as in `/v1/searches/{id}`."""
    strategy: str
    width: int
    answer: str | None
    score: float
    """The answer's share of the votes' weight, in [0, 1]."""
    end: str | None
    """Why the search ended."""
    note: str | None
    seconds: float
    solutions: int
    kv: KVOut
    votes: list[VoteOut] | None = None
    tree: dict[str, Any] | None = None

    @classmethod
    def of(cls, key: str, result: SearchResult, wishes: Wishes) -> Found:
        """Of a result, with votes and tree where they are wished for."""
        kv = result.kv
        return cls(
            id=key,
            strategy=type(result.tree.strategy).__name__,
            width=result.tree.strategy.width,
            answer=result.answer,
            score=result.score,
            end=result.end,
            note=result.note,
            seconds=result.usage.seconds,
            solutions=len(result.trajectories),
            kv=KVOut(
                before=kv.before.sum,
                after=kv.after.sum,
                rebase=kv.rebase.sum,
                saved=result.kv_saved,
            ),
            votes=[VoteOut(answer=v.answer, weight=v.weight, count=v.count) for v in result.votes]
            if wishes.votes
            else None,
            tree=result.tree.to_dict() if wishes.tree else None,
        )


class TokensOut(BaseModel):
    """What a whole search asked of the engines, in tokens."""

    policy_tokens: int
    policy_prompt_tokens: int
    policy_cached_tokens: int
    prm_tokens: int
    prm_cached_tokens: int
    kv_tokens: int
    """Kept at the largest selection."""

    @classmethod
    def of(cls, result: SearchResult) -> TokensOut:
        """Of a result."""
        usage = result.usage
        return cls(
            policy_tokens=usage.policy_tokens,
            policy_prompt_tokens=usage.policy_prompt_tokens,
            policy_cached_tokens=usage.policy_cached_tokens,
            prm_tokens=usage.prm_tokens,
            prm_cached_tokens=usage.prm_cached_tokens,
            kv_tokens=result.kv.after.peak,
        )
