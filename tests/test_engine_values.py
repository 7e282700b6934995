"""What a search makes of the values that policies, PRMs and embedders of one's own return."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ets
from ets.checks import MOST
from ets.engines.values import checked_reward, checked_root, checked_score, checked_step
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedPolicy, ScriptedPRM


def answer(**fields: Any) -> Step:
    return Step(**{"text": "The answer is 3.", "token_ids": (1, 2), "finish": "answer", **fields})


class Writer(ScriptedPolicy):
    """Returns whatever it is told to."""

    def __init__(self, sampled: Any = None, begun: Any = None) -> None:
        super().__init__(slow=False)
        self._sampled: Callable[[], Step] | None = sampled
        self._begun = begun

    def start(self, problem: str) -> Prefix:
        return super().start(problem) if self._begun is None else self._begun

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        if self._sampled is None:
            return await super().sample(prefix, seed=seed, max_tokens=max_tokens)
        return self._sampled()


class Judge(ScriptedPRM):
    def __init__(self, scored: Callable[[], Any]) -> None:
        super().__init__()
        self._scored: Callable[[], Score] = scored

    async def score(self, prefix: Prefix) -> Score:
        return self._scored()


class Meaning:
    def __init__(self, embedded: Callable[[str], Any]) -> None:
        self._embedded = embedded

    async def embed(self, text: str) -> Any:
        return self._embedded(text)

    async def aclose(self) -> None:
        pass


class InstantMeaning(Meaning):
    def vector(self, text: str) -> Any:
        return self._embedded(text)


def solve(policy: Any, prm: Any = None, **options: Any) -> ets.SearchResult:
    options = {"strategy": ets.REBASE(width=2), "max_depth": 4, "max_step_tokens": 9, **options}
    with ets.Search(policy, ScriptedPRM() if prm is None else prm, **options) as search:
        return search.solve("What is 1 + 2?")


async def unasked() -> Step:
    return answer()


def refused(*words: str, **engines: Any) -> None:
    """The search fails with one line that holds these words."""
    with pytest.raises(ets.EngineError) as error:
        solve(engines.pop("policy", None) or ScriptedPolicy(slow=False), **engines)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        (lambda: float("nan"), "sample()", "nan"),
        (lambda: "a step", "sample()", "'a step'"),
        (unasked, "sample()", "coroutine"),
        (lambda: Step, "sample()", "class"),
        (lambda: answer(text=None), "Step.text", "None"),
        (lambda: answer(text=b"3"), "Step.text", "b'3'"),
        (lambda: answer(token_ids=None), "Step.token_ids", "None"),
        (lambda: answer(token_ids="abc"), "Step.token_ids", "'abc'"),
        (lambda: answer(token_ids=b"abc"), "Step.token_ids", "b'abc'"),
        (lambda: answer(token_ids={1, 2}), "Step.token_ids", "{1, 2}"),
        (lambda: answer(token_ids=(1, 1.5)), "Step.token_ids[1]", "1.5"),
        (lambda: answer(token_ids=(1, True)), "Step.token_ids[1]", "True"),
        (lambda: answer(token_ids=np.array([1.0])), "Step.token_ids[0]", "1.0"),
        (lambda: answer(token_ids=np.array([[1]])), "Step.token_ids", "array([[1]])"),
        (lambda: answer(token_ids=(1, -2)), "Step.token_ids[1]", "-2"),
        (lambda: answer(token_ids=(2**70,)), "Step.token_ids[0]", str(2**70)),
        (lambda: Step("more", (), "step"), "Step.token_ids", "'more'"),
        (lambda: answer(finish="done"), "Step.finish", "'done'"),
        (lambda: answer(finish=None), "Step.finish", "None"),
        (lambda: answer(finish=["answer"]), "Step.finish", "['answer']"),
        (lambda: answer(prompt_tokens=-5), "Step.prompt_tokens", "-5"),
        (lambda: answer(cached_tokens="2"), "Step.cached_tokens", "'2'"),
        (lambda: answer(preemptions=1.0), "Step.preemptions", "1.0"),
        (lambda: answer(dropped_tokens=None), "Step.dropped_tokens", "None"),
        (lambda: answer(thinking=99), "Step.thinking", "99"),
        (lambda: answer(banked=1), "Step.banked", "1"),
    ],
)
def test_a_step_that_is_none(given: Callable[[], Any], field: str, value: str) -> None:
    refused("Writer", field, value, policy=Writer(given))


def test_the_largest_integer_is_taken_and_no_larger_one() -> None:
    step = checked_step(answer(token_ids=(0, MOST), prompt_tokens=MOST), "anybody")
    assert (step.token_ids, step.prompt_tokens) == ((0, MOST), MOST)
    with pytest.raises(ets.EngineError, match=r"Step.token_ids\[1\]"):
        checked_step(answer(token_ids=(0, MOST + 1)), "anybody")
    with pytest.raises(ets.EngineError, match=r"Step.prompt_tokens .* integer of at least 0"):
        checked_step(answer(prompt_tokens=MOST + 1), "anybody")


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ("a prompt", "start()", "'a prompt'"),
        (Prefix(None, 1, (1,)), "Prefix.problem", "None"),  # type: ignore[arg-type]
        (Prefix("p", -1, (1,)), "Prefix.prompt_tokens", "-1"),
        (Prefix("p", 2**32, (1,)), "Prefix.prompt_tokens", str(2**32)),
        (Prefix("p", 1, (-1,)), "Prefix.token_ids[0]", "-1"),
        (Prefix("p", 1, (1,), (answer(),)), "Prefix.steps", "Step("),
    ],
)
def test_a_root_that_is_none(given: Any, field: str, value: str) -> None:
    refused("Writer", field, value, policy=Writer(begun=given))


def test_a_start_that_is_asynchronous_is_named() -> None:
    class Late(ScriptedPolicy):
        async def start(self, problem: str) -> Prefix:  # type: ignore[override]
            return Prefix(problem, 1, (1,))

    refused("Late gave start() <coroutine", "coroutine", policy=Late())


def test_methods_that_are_not_asynchronous_are_named() -> None:
    class Plain(ScriptedPolicy):
        def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:  # type: ignore[override]
            return answer()

    class PlainJudge(ScriptedPRM):
        def score(self, prefix: Prefix) -> Score:  # type: ignore[override]
            return Score(0.5)

    class PlainMeaning(Meaning):
        def embed(self, text: str) -> Any:
            return np.ones(3, dtype=np.float32)

    refused("Plain gave sample() ", "it must be awaitable", policy=Plain())
    refused("PlainJudge gave score() ", "it must be awaitable", prm=PlainJudge())
    clusters = {"embedder": PlainMeaning(len), "strategy": ets.ETS(width=4)}
    refused("PlainMeaning gave embed() ", "it must be awaitable", **clusters)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (None, "None"),
        ("0.5", "'0.5'"),
        (0.5 + 0j, "(0.5+0j)"),
        (np.complex64(0.5), ""),
        ([0.5], "[0.5]"),
        (np.array([0.5]), "array([0.5])"),
        (np.array("0.5"), "array('0.5'"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (np.float32("nan"), ""),
        (Decimal("sNaN"), "Decimal('sNaN')"),
        (-0.1, "-0.1"),
        (2, "2"),
        (10**400, "1000"),
        (Decimal(3), "Decimal('3')"),
    ],
)
def test_a_reward_that_is_none(given: Any, value: str) -> None:
    refused(f"Judge gave the reward {value}", prm=Judge(lambda: Score(given)))

    def grade(problem: str, steps: list[str]) -> Any:
        return given

    refused(f"FunctionPRM gave the reward {value}", prm=grade)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (0.5, "score() 0.5"),
        (None, "score() None"),
        (
            Score(0.5, prompt_tokens=-3),
            "Score.prompt_tokens -3; it must be an integer",
        ),
        (Score(0.5, banked=None), "Score.banked None; it must be True or False"),  # type: ignore[arg-type]
    ],
)
def test_a_score_that_is_none(given: Any, value: str) -> None:
    refused(f"Judge gave {value}", prm=Judge(lambda: given))


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (0.1234567, 0.123457),
        (np.float32(0.3), 0.3),
        (np.float64(0.25), 0.25),
        (np.array(0.3, dtype=np.float32), 0.3),
        (1, 1.0),
        (np.int8(0), 0.0),
        (True, 1.0),
        (np.bool_(False), 0.0),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 3), 0.333333),
        (-0.0, 0.0),
        (1 + 5e-7, 1.0),
        (-5e-7, 0.0),
    ],
)
def test_a_reward_is_any_real_number(given: Any, right: float) -> None:
    reward = checked_reward(given, "anybody")
    assert (type(reward), repr(reward)) == (float, repr(right))
    assert checked_score(Score(given), "anybody") == Score(right)


def test_a_tensor_without_dimensions_is_a_reward() -> None:
    torch = pytest.importorskip("torch")
    assert checked_reward(torch.tensor(0.25), "anybody") == 0.25
    with pytest.raises(ets.EngineError, match=r"tensor\(\[0\.2500\]\)"):
        checked_reward(torch.tensor([0.25]), "anybody")


MASKED: Any = np.ones(3, dtype=np.float32).view(np.ma.MaskedArray)
MASKED[0] = np.ma.masked


@pytest.mark.parametrize("meaning", [Meaning, InstantMeaning])
@pytest.mark.parametrize(
    ("given", "value"),
    [
        (None, "None"),
        ([1.0, 2.0], "[1.0, 2.0]"),
        (np.ones(3), "float64 and shape (3,)"),
        (np.ones((1, 3), dtype=np.float32), "float32 and shape (1, 3)"),
        (np.zeros(3, dtype=np.float32), "[0., 0., 0.]"),
        (np.zeros(0, dtype=np.float32), "[]"),
        (np.array([1, np.nan], dtype=np.float32), "nan"),
        (MASKED, "masked"),
    ],
)
def test_an_embedding_that_is_none(given: Any, value: str, meaning: type[Meaning]) -> None:
    engines = {"embedder": meaning(lambda text: given), "strategy": ets.ETS(width=4)}
    refused(f"{meaning.__name__} gave the embedding", value, **engines)


def test_embeddings_of_one_search_have_one_length() -> None:
    texts: list[str] = []

    def longer(text: str) -> Any:
        texts.append(text)
        return np.ones(len(texts), dtype=np.float32)

    clusters = {"embedder": Meaning(longer), "strategy": ets.ETS(width=4)}
    refused("Meaning gave the embedding of 2 numbers; it must have 1", **clusters)


def test_an_embedder_may_use_its_array_again() -> None:
    shared = np.zeros(8, dtype=np.float32)

    def own(text: str) -> Any:
        return np.random.default_rng(list(text.encode())).random(8, dtype=np.float32)

    def reused(text: str) -> Any:
        shared[:] = own(text)
        return shared

    options = {"strategy": ets.ETS(width=8), "max_depth": 5}
    policy = ScriptedPolicy(slow=False)
    one, other = (solve(policy, embedder=Meaning(f), **options) for f in (own, reused))
    assert one.tree.to_json() == other.tree.to_json()


def test_a_kv_space_that_is_none_is_named() -> None:
    class Vague(ScriptedPolicy):
        async def kv_space(self) -> Any:
            return 4096

    refused(
        "Vague gave kv_space() 4096", policy=Vague(), kv_budget="auto", strategy=ets.ETS(width=2)
    )


class Text(str):
    """A text of another class, as libraries have them."""


@pytest.mark.parametrize(
    "ids",
    [[7, 8], np.array([7, 8]), np.array([7, 8], dtype=np.uint8), (np.int64(7), 8), range(7, 9)],
)
def test_values_come_out_as_plain_python(ids: Any) -> None:
    given = answer(
        text=Text("3 é"), token_ids=ids, finish=Text("answer"), prompt_tokens=np.int32(4)
    )
    step = checked_step(given, "anybody")
    assert step == Step("3 é", (7, 8), "answer", 4)
    plain = [
        type(step.text),
        type(step.finish),
        type(step.prompt_tokens),
        *map(type, step.token_ids),
    ]
    assert plain == [str, str, int, int, int]
    root = checked_root(Prefix("p", np.int64(2), ids), "anybody")
    assert root.extend(step).token_ids == (7, 8, 7, 8)
    assert json.dumps([root.token_ids, root.prompt_tokens]) == "[[7, 8], 2]"


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.decimals(),
    st.fractions(),
    st.text(st.characters(codec=None)),
    st.binary(),
    st.lists(st.integers() | st.floats() | st.booleans()),
    st.tuples(st.integers()),
    st.dictionaries(st.integers(), st.integers()),
    st.sets(st.integers()),
    hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=2, min_side=0)),
    st.sampled_from(["step", "answer", "end", len, int, object(), range(3)]),
)


def is_plain(record: Step | Score | Prefix) -> bool:
    """Whether JSON and UTF-8 hold it, and it comes back as it was."""
    values = [getattr(record, f.name) for f in fields(record)]
    text = json.dumps(values, allow_nan=False, ensure_ascii=False)
    text.encode()
    kinds = (str, int, float, bool, tuple)
    return all(type(value) in kinds for value in values) and json.loads(text) == [
        list(value) if type(value) is tuple else value for value in values
    ]


@given(st.data())
def test_whatever_comes_back_is_plain_or_refused(data: st.DataObject) -> None:
    records: list[tuple[Any, Callable[[object, object], Any]]] = [
        (answer(), checked_step),
        (Score(0.5), checked_score),
        (Prefix("p", 1, (1,)), checked_root),
    ]
    record, checked = data.draw(st.sampled_from(records))
    names = [f.name for f in fields(record)]
    wrong = data.draw(st.dictionaries(st.sampled_from(names), ANYTHING))
    made, said = None, ""
    try:
        made = checked(replace(record, **wrong), "anybody")
    except ets.EngineError as error:
        said = str(error)
    if made is not None:
        assert is_plain(made)
    else:
        assert any(name in said for name in [*wrong, "token_ids", "thinking"])
        assert "\n" not in said


def test_a_search_of_numpy_ids_is_the_search_of_plain_ones() -> None:
    class Arrays(ScriptedPolicy):
        seen: list[tuple[int, ...]]

        def start(self, problem: str) -> Prefix:
            self.seen = []
            return Prefix(problem, 5, np.arange(1, 6))  # type: ignore[arg-type]

        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            step = await super().sample(prefix, seed=seed, max_tokens=max_tokens)
            self.seen.append(prefix.token_ids)
            return Step(step.text, np.array(step.token_ids), step.finish, 5, 2)  # type: ignore[arg-type]

    policy = Arrays(slow=False)
    assert solve(policy).tree.to_json() == solve(ScriptedPolicy(slow=False)).tree.to_json()
    assert all(type(ids) is tuple and ids[:5] == (1, 2, 3, 4, 5) for ids in policy.seen)


def test_ids_of_arrays_are_joined_not_added() -> None:
    step = Step("a", np.array([1, 2]), "step")  # type: ignore[arg-type]
    assert Prefix("p", 2, (5, 6)).extend(step).token_ids == (5, 6, 1, 2)
    assert answer().then(step).token_ids == (1, 2, 1, 2)


@pytest.mark.parametrize(
    ("text", "right"),
    [("3 \ud83d", "3 \ufffd"), ("\udc80 3", "\ufffd 3"), ("\ud83d\ude00 3", "\U0001f600 3")],
)
def test_half_a_character_is_the_sign_for_it(text: str, right: str) -> None:
    assert checked_step(answer(text=text), "anybody").text == right
    result = solve(Writer(lambda: answer(text=f"The answer is {text}.")))
    json.dumps(result.to_dict(), ensure_ascii=False).encode()


def test_what_is_right_is_passed_on_as_it_is() -> None:
    """Also an object of a class of one's own, which the policy gets back in the prefix."""

    @dataclass(frozen=True)
    class Remembering(Step):
        state: object = None

    for step in (answer(), Remembering("so", (1,), "step", state=[1])):
        assert checked_step(step, "anybody") is step
    mended = checked_step(Remembering("so", [1], "step", state=7), "anybody")  # type: ignore[arg-type]
    assert mended == Remembering("so", (1,), "step", state=7)


@pytest.mark.parametrize("problem", [None, 3, b"What?", ["What?"], "half \ud83d a sign"])
def test_a_problem_that_is_no_text(problem: Any) -> None:
    with ets.Search(ScriptedPolicy(), ScriptedPRM(), ets.REBASE(width=2)) as search:
        for ask in (search.solve, lambda problem: list(search.stream(problem))):
            with pytest.raises(ets.InputError, match="must be a text"):
                ask(problem)
        assert search.solve("What?").problem == "What?"
