"""What a search makes of the values that policies, PRMs and embedders of one's own return."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import ets
from engine_value_cases import InstantMeaning, Judge, Meaning, Writer, answer, refused, solve
from ets.checks import MOST
from ets.engines.values import checked_reward, checked_score, checked_step
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedPolicy, ScriptedPRM


async def unasked() -> Step:
    return answer()


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


@pytest.mark.parametrize("problem", [None, 3, b"What?", ["What?"], "half \ud83d a sign"])
def test_a_problem_that_is_no_text(problem: Any) -> None:
    with ets.Search(ScriptedPolicy(), ScriptedPRM(), ets.REBASE(width=2)) as search:
        for ask in (search.solve, lambda problem: list(search.stream(problem))):
            with pytest.raises(ets.InputError, match="must be a text"):
                ask(problem)
        assert search.solve("What?").problem == "What?"
