"""Solutions that a limit cuts: none votes, each says which limit it was, and the search goes on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ets
from ets import demo
from ets.errors import ContextError, InputError
from ets.rollout.shortfall import most_cut, shortfall
from ets.tree_search.search import Child, TreeSearch

PROBLEM = str(demo.problems()[0]["problem"])
CUTS = st.sampled_from([None, "max_tokens", "max_depth", "context", "prm_context"])


def solve(**arguments: Any) -> ets.SearchResult:
    with ets.Search(strategy=ets.REBASE(width=8), **arguments) as search:
        return search.solve(PROBLEM)


@pytest.mark.parametrize(
    ("arguments", "cut", "mend"),
    [
        ({"policy_options": {"max_length": 70}}, "context", "raise the policy's max_model_len"),
        ({"prm_options": {"max_length": 50}}, "prm_context", "raise the PRM's max_model_len"),
        ({"max_tokens": 5}, "max_tokens", "raise max_tokens"),
        ({"max_depth": 1}, "max_depth", "raise max_depth"),
    ],
)
def test_whatever_cuts_it_is_one_kind(arguments: dict[str, Any], cut: str, mend: str) -> None:
    result = solve(**arguments)
    assert {solution.cut for solution in result.trajectories} == {cut}
    assert not any(solution.finished for solution in result.trajectories)
    assert result.votes == []
    assert result.answer is None
    assert result.note is not None
    assert mend in result.note
    assert f"{len(result.trajectories)} of 8 solutions were cut" in result.note
    assert "\n" not in result.note
    assert result.to_dict()["note"] == result.note
    again = TreeSearch.from_json(result.tree.to_json())
    assert [t.cut for t in again.trajectories] == [t.cut for t in result.tree.trajectories]
    assert again == result.tree


def test_those_that_are_not_too_long_still_vote() -> None:
    """A PRM that reads 60 tokens: the short solutions go through, the long ones are cut."""

    async def solutions(limit: int) -> ets.SearchResult:
        class ShortPRM:
            async def score(self, prefix: ets.engines.Prefix) -> ets.engines.Score:
                if len(prefix.token_ids) > limit:
                    raise ContextError("too long")
                return ets.engines.Score(0.5)

            async def aclose(self) -> None:
                pass

        with ets.Search(prm=ShortPRM(), strategy=ets.BestOfN(width=16)) as search:
            return await search.asolve(PROBLEM)

    import asyncio

    lengths = sorted(solution.tokens for solution in asyncio.run(solutions(10_000)).trajectories)
    prompt = asyncio.run(solutions(10_000)).tree.prompt_tokens
    result = asyncio.run(solutions(prompt + lengths[8]))
    cuts = [solution.cut for solution in result.trajectories]
    assert len(cuts) == 16
    assert 0 < cuts.count("prm_context") < 16
    assert result.answer is not None
    assert sum(vote.count for vote in result.votes) <= cuts.count(None)


def test_a_known_context_limits_max_tokens_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    solve(policy_options={"max_length": 90})
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("ets")]
    assert lines == [
        "max_tokens is 1024, but the policy reads at most 90 tokens, its prompt included: what is "
        "longer is cut there"
    ]
    caplog.clear()
    solve(max_tokens=60)
    assert not [record for record in caplog.records if record.name.startswith("ets")]


def test_a_child_is_finished_or_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    search = TreeSearch(ets.REBASE(width=2), prompt_tokens=3)
    search.ask()
    for child in (
        Child(0, 5, 0.5, finished=True, cut="context"),
        Child(0, 5, 0.5, cut="max_depth"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=r"children\[0\]\.cut must be None or"):
            search.tell([child])
    search.tell([Child(0, 5, 0.5, cut="context"), Child(0, 5, 0.5, finished=True)])
    assert [done.cut for done in search.trajectories] == ["context", None]
    assert search.end == "width_used_up"


def test_searches_saved_before_engines_cut_are_read() -> None:
    search = TreeSearch(ets.REBASE(width=2), prompt_tokens=3)
    search.ask()
    search.tell([Child(0, 5, 0.5), Child(0, 4, 0.25)])
    search.ask()
    search.tell([Child(1, 5, 0.5, finished=True)])
    saved = search.to_dict()
    old = {**saved, "version": 2, "nodes": dict(saved["nodes"])}
    del old["nodes"]["cut"]
    old["told"] = [{k: v for k, v in told.items() if k != "cut"} for told in saved["told"]]
    assert TreeSearch.from_dict(old) == search


@given(st.lists(st.one_of(st.none(), CUTS), max_size=9), st.data())
def test_an_answer_of_none_always_has_its_reason(cuts: list[Any], data: st.DataObject) -> None:
    answers = [data.draw(st.sampled_from([None, "1"])) if cut is None else None for cut in cuts]
    end = data.draw(st.sampled_from(["width_used_up", "token_budget", "kv_budget", None]))
    note = shortfall(cuts, answers, end)
    assert note is None or ("\n" not in note and note)
    if not any(answers):
        assert note is not None
    elif 2 * sum(cut is not None for cut in cuts) > len(cuts):
        assert note is not None
        assert most_cut(cuts) in cuts
    else:
        assert note is None
        assert most_cut(cuts) is None


def test_the_note_says_what_was_cut_and_what_to_raise() -> None:
    assert shortfall([], [], "token_budget") == (
        "no solution was completed: the budget's tokens were used up: raise budget.tokens"
    )
    assert shortfall([None, None], [None, None], "width_used_up") == (
        "none of the 2 solutions that ended by themselves holds an answer"
    )
    assert shortfall(["max_tokens", "max_tokens", None], [None, None, "1"], "") == (
        "2 of 3 solutions were cut, by max_tokens: raise max_tokens"
    )
    assert shortfall(["max_tokens", "max_depth", "max_tokens"], [None] * 3, "") == (
        "3 of 3 solutions were cut, most by max_tokens: raise max_tokens"
    )
