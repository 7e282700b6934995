"""Messages in place of a problem's text: what is taken, what is refused, and where they get to."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ets
from ets.bench.bank import SampleBank
from ets.bench.banked import BankedPolicy, BankedPRM
from ets.dialogue import Dialogue, Posed, mapped, posed, transcript
from ets.engines import Prefix, Step, Turn
from ets.engines.server.headers import headers_of
from ets.engines.values import checked_root
from ets.errors import EngineError, InputError
from ets.tree.seeds import problem_seed
from scripted_engines import ScriptedPolicy, ScriptedPRM
from scripted_search import outcome, search
from scripted_worker import ScriptedFleet

SYSTEM = {"role": "system", "content": "Answer in whole numbers."}
FIRST = {"role": "user", "content": "Mia has 3 apples. How many?"}
REPLY = {"role": "assistant", "content": "3"}
LAST = {"role": "user", "content": "She buys 4 more. How many now?"}
MESSAGES = [SYSTEM, FIRST, REPLY, LAST]
DIALOGUE = Dialogue.of("messages", MESSAGES)


class Talker(ScriptedPolicy):
    """Reads all messages."""

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        self.started.append(transcript(dialogue))
        return Prefix(problem=dialogue.problem, prompt_tokens=7, token_ids=(1, 2, 3, 4, 5, 6, 7))


TURN = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant"]),
    st.text(max_size=8).filter(lambda text: text.isprintable()),
)
TURNS = st.lists(TURN, max_size=4).map(lambda turns: [*turns, LAST])


@given(TURNS, st.booleans())
def test_messages_come_out_as_they_went_in(turns: list[dict[str, str]], told: bool) -> None:
    messages = [SYSTEM, *turns] if told else turns
    dialogue = Dialogue.of("messages", messages)
    assert dialogue.messages == messages
    assert dialogue.problem == LAST["content"]
    for again in (
        Dialogue.of("messages", tuple(messages)),
        posed("problem", dialogue),
        pickle.loads(pickle.dumps(dialogue)),
        copy.deepcopy(dialogue),
        mapped(dialogue, str),
    ):
        assert again == dialogue
        assert hash(again) == hash(dialogue)


REFUSED: dict[str, tuple[Any, str]] = {
    "empty": ([], r"^problem must not be empty"),
    "no message": ([LAST, 5], r"^problem\[1\] must be a message with role and content, got 5"),
    "one message": (LAST, "^problem must be a text or a list of messages, even of one, got"),
    "texts": (["a", "b"], r"^problem must be a text or a list .*ets.Search.map takes several"),
    "bytes": (b"What?", "^problem must be a text or a list of messages, got b'What"),
    "no role": ([{"content": "a"}], r"^problem\[0\].role must be one of .* got None"),
    "role": ([{"role": "tool", "content": "a"}], r"^problem\[0\].role must be one of .*'tool'"),
    "role no text": ([{"role": [], "content": "a"}], r"^problem\[0\].role must be one of"),
    "no content": ([SYSTEM, {"role": "user"}], r"^problem\[1\].content must be a text, got None"),
    "a number": ([{"role": "user", "content": 7}], r"^problem\[0\].content must be a text, got 7"),
    "parts": (
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}],
        r"^problem\[0\].content must be a text, got parts of the types \['text', 'image_url'\]",
    ),
    "odd parts": ([{"role": "user", "content": [7]}], r"got parts of the types \[7\]"),
    "a name": ([{**LAST, "name": "Mia"}], r"^problem\[0\].name cannot be taken, got 'Mia'"),
    "tools": (
        [FIRST, {**REPLY, "tool_calls": [{"id": 1}]}, LAST],
        r"^problem\[1\].tool_calls cannot be taken",
    ),
    "two systems": ([SYSTEM, SYSTEM, LAST], r"^problem\[1\].role must not be 'system'"),
    "a late one": ([FIRST, SYSTEM, LAST], r"^problem\[1\].role must not be 'system'"),
    "system last": ([SYSTEM], r"^problem\[0\].role must be 'user', as the last .* 'system'"),
    "reply last": ([FIRST, REPLY], r"^problem\[1\].role must be 'user', .* got 'assistant'"),
    "blank": ([{"role": "user", "content": " \n"}], r"^problem\[0\].content must not be empty"),
    "half a sign": ([{"role": "user", "content": "a\ud83d"}], "text that UTF-8 can hold"),
}


@pytest.mark.parametrize(("given", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_dialogue_is_refused_in_one_line(given: Any, said: str) -> None:
    with search() as s:
        for ask in (s.solve, lambda problem: list(s.stream(problem))):
            with pytest.raises(ets.InputError, match=said) as caught:
                ask(given)
            assert "\n" not in str(caught.value)
        with pytest.raises(ets.InputError, match=said.replace("^problem", r"problems\[1\]")):
            list(s.map(["p", given]))


def test_fields_that_say_nothing_are_taken() -> None:
    reply: dict[str, Any] = {**REPLY, "refusal": None, "tool_calls": None, "annotations": []}
    assert Dialogue.of("m", [SYSTEM, FIRST, reply, LAST]) == DIALOGUE


def test_a_dialogue_made_by_hand_is_checked_too() -> None:
    made = Dialogue((Turn("user", "a"), Turn("system", "b")), "c")
    with search() as s, pytest.raises(ets.InputError, match=r"problem\[1\].role must not be"):
        s.solve(made)


def test_texts_have_the_seeds_and_pickles_that_they_had() -> None:
    assert problem_seed(0, "What is 1 + 1?") == 7048006231409237825
    assert problem_seed(-7, "Zoë 🙂") == 4146005235994910736
    prefix = Prefix("p", 1, (0,), (Step("a", (1,), "end"),))
    assert set(prefix.__reduce__()[1][2]) == {"problem", "prompt_tokens", "token_ids", "steps"}
    assert pickle.loads(pickle.dumps(prefix)) == prefix
    told = Prefix("p", 1, (0,), before=DIALOGUE.before)
    assert pickle.loads(pickle.dumps(told)) == told != Prefix("p", 1, (0,))


def test_what_was_said_before_has_a_part_in_the_seed() -> None:
    others: list[Posed] = [
        LAST["content"],
        DIALOGUE,
        Dialogue(DIALOGUE.before[1:], DIALOGUE.problem),
        Dialogue(DIALOGUE.before[:1], DIALOGUE.problem),
        Dialogue((Turn("user", SYSTEM["content"]),), DIALOGUE.problem),
        Dialogue((Turn("user", f"{SYSTEM['content']}user"),), DIALOGUE.problem),
    ]
    assert len({problem_seed(3, each) for each in others}) == len(others)
    assert problem_seed(3, Dialogue((), "p")) == problem_seed(3, "p")
    sessions = {str(headers_of(each, 0)) for each in others}
    assert len(sessions) == len(others)


def test_a_single_message_is_its_text() -> None:
    policy = ScriptedPolicy()  # takes no dialogues, and need not
    with search(policy=policy) as s:
        text, alone = s.solve("p"), s.solve([{"role": "user", "content": "p"}])
    assert outcome(text) == outcome(alone)
    assert policy.started == ["p", "p"]
    assert text.problem == text.to_dict()["problem"] == "p"
    assert alone.problem == alone.to_dict()["problem"] == [{"role": "user", "content": "p"}]


def test_a_policy_that_takes_texts_only_is_told_what_it_lacks() -> None:
    with search() as s, pytest.raises(InputError, match=r"start_dialogue\(dialogue\)") as caught:
        s.solve(MESSAGES)
    assert "3 messages before the problem, got ScriptedPolicy" in str(caught.value)


def test_a_dialogue_gets_to_the_policy_the_prm_and_the_result() -> None:
    policy, seen = Talker(), []

    class Reading(ScriptedPRM):
        async def score(self, prefix: Prefix) -> Any:
            seen.append((prefix.problem, prefix.before, prefix.posed))
            return await super().score(prefix)

    with search(policy=policy, prm=Reading()) as s:
        solved = s.solve(MESSAGES)
        mapped_ones = list(s.map([MESSAGES, "p", tuple(MESSAGES)], ordered=True))
        last = list(s.stream(MESSAGES))[-1]
        half = ets.TreeSearch.from_json(solved.tree.to_json())
        resumed = s.resume(half, MESSAGES)
        later = asyncio.run(s.asolve(DIALOGUE))
    assert policy.started[0].startswith("System: Answer in whole numbers.\n\nUser: Mia has 3")
    assert (LAST["content"], DIALOGUE.before, DIALOGUE) in seen
    same = [solved, mapped_ones[0], mapped_ones[2], last.result, resumed, later]  # type: ignore[union-attr]
    assert all(outcome(each) == outcome(solved) for each in same)
    assert all(each.problem == MESSAGES for each in same)
    assert mapped_ones[1].problem == "p"
    assert json.loads(json.dumps(solved.to_dict()))["problem"] == MESSAGES
    assert pickle.loads(pickle.dumps(solved)) == solved


def test_a_function_is_given_the_last_message() -> None:
    asked = []

    def prm(problem: str, steps: list[str]) -> float:
        asked.append(problem)
        return 0.5

    with search(policy=Talker(), prm=prm) as s:
        s.solve(MESSAGES)
    assert set(asked) == {LAST["content"]}


def test_the_page_of_a_tree_shows_all_messages(tmp_path: Path) -> None:
    with search(policy=Talker()) as s:
        s.solve(MESSAGES).save_tree(tmp_path / "tree.html")
    page = (tmp_path / "tree.html").read_text("utf-8")
    assert all(message["content"] in page for message in MESSAGES)


def test_workers_find_the_same() -> None:
    with search(policy=Talker()) as here:
        expected = here.solve(MESSAGES)
    with search(policy=Talker(), workers=ScriptedFleet(2)) as there:
        found = there.solve(MESSAGES)
    assert outcome(found) == outcome(expected)
    assert found.problem == MESSAGES


def test_what_a_policy_says_was_before_must_be_turns() -> None:
    odd = Prefix("p", 1, (1,), before=("a",))  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=r"gave Prefix.before \('a',\); it must be a tuple of"):
        checked_root(odd, ScriptedPolicy())


def test_a_bank_tells_dialogues_from_problems_and_steps(tmp_path: Path) -> None:
    def step(text: str) -> Step:
        return Step(text, (1,), "step")

    before = (Turn("user", "a"),)
    prefixes = [
        Prefix("p", 0, (), (step("x"),), before),
        Prefix("p", 0, (), (step("x"),)),
        Prefix("user", 0, (), (step("a"), step("p"), step("x"))),
        Prefix("p", 0, (), (step("x"),), (Turn("assistant", "a"),)),
        Prefix("p", 0, (), (step("x"),), (*before, *before)),
        Prefix("user", 0, (), (step("a"), step("p"), step("x")), before),
    ]
    with SampleBank(tmp_path / "bank") as bank:
        prm = BankedPRM(ScriptedPRM(), bank, b"model")
        for prefix in prefixes:
            assert not asyncio.run(prm.score(prefix)).banked
        for prefix in prefixes:
            assert asyncio.run(prm.score(prefix)).banked
        banked = BankedPolicy(Talker(), bank, b"model")
        assert banked.start_dialogue(DIALOGUE).before == DIALOGUE.before
        with pytest.raises(InputError, match="got ScriptedPolicy"):
            BankedPolicy(ScriptedPolicy(), bank, b"model").start_dialogue(DIALOGUE)


def test_a_loop_of_ones_own_names_its_problem_as_it_likes() -> None:
    with search(policy=Talker()) as s:
        tree = s.solve(MESSAGES).tree
    for named, told in (("a\ud800", "a\ud800"), (MESSAGES, MESSAGES), (DIALOGUE, MESSAGES)):
        made = ets.SearchResult.of(tree, problem=named)
        assert made.problem == told
        assert "<" in made._repr_html_()
    with pytest.raises(InputError, match="problem must be a text or a list of messages"):
        ets.SearchResult.of(tree, problem=7)  # type: ignore[arg-type]
