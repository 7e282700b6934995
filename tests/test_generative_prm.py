"""Generative PRMs: how they are asked, how they are read, what they cost.

Critics are scripted, or the bundled policy, whose words about a solution are nonsense: that any
model's verdicts are good is not tested here.
"""

from __future__ import annotations

import asyncio
import math
import re
from typing import Any

import pytest

import ets
from certainty_cases import PROBLEM
from ets.dialogue import Dialogue, Turn
from ets.engines import Prefix, Score, Step
from ets.prm import load_prm
from ets.prm.critique_form import FORMS, CritiqueForm, form_of
from ets.prm.generative import GenerativePRM
from scripted_critic import ScriptedCritic

SURE = math.exp(-0.5)


def solution(*texts: str, problem: str = "What is 1 + 1?") -> Prefix:
    steps = tuple(Step(f"{text}\n\n", (1,), "step") for text in texts)
    return Prefix(problem, 0, (), steps)


def scored(critic: ScriptedCritic, prefix: Prefix, form: str = "instruct", **more: Any) -> Score:
    of_form = {name: more.pop(name) for name in list(more) if hasattr(FORMS["instruct"], name)}

    async def score() -> Score:
        prm = GenerativePRM(critic, form_of(form, of_form), **more)
        try:
            return await prm.score(prefix)
        finally:
            await prm.aclose()

    return asyncio.run(score())


# --- what it is asked -----------------------------------------------------------------------------


def test_thinkprm_is_asked_as_its_authors_ask_it() -> None:
    critic = ScriptedCritic(lambda *_: " fine.\n", delimiter="Is the solution correct?")
    scored(critic, solution("1 + 1 = 2.", "It is 2."), "thinkprm")
    assert critic.asked == [
        Dialogue(
            (),
            "You are given a math problem and a proposed step-by-step solution:\n\n[Math Problem]"
            "\n\nWhat is 1 + 1?\n\n[Solution]\n\nStep 1: 1 + 1 = 2.\nStep 2: It is 2.\n\nReview "
            "and critique each step in the proposed solution to determine whether each step is "
            "correct. If the solution is incomplete, only verify the provided steps.",
        )
    ]
    assert critic.made == ["\nLet's verify step by step:", "\nIs the solution correct?"]


def test_genprm_is_given_its_own_critiques_of_the_steps_before() -> None:
    def say(asked: Dialogue, seed: int) -> str:
        return f"no flaw in {asked.problem[-3:]}</analyze> $\\boxed{{Yes}}$</output> and more"

    critic = ScriptedCritic(say, delimiter="</output>")
    score = scored(critic, solution("a + b", "c + d"), "genprm")
    assert score.reward == pytest.approx(math.exp(-0.5 * len("Yes")))
    start = "<analyze>\nLet's analyze the Paragraph {} step by step: "
    first, second = critic.asked
    system = Turn("system", str(FORMS["genprm"].system_prompt))
    assert first == Dialogue((system,), "What is 1 + 1?\na + b")
    assert second == Dialogue(
        (
            system,
            Turn("user", "What is 1 + 1?\na + b"),
            Turn("assistant", start.format(1) + "no flaw in + b</analyze> $\\boxed{Yes}$</output>"),
        ),
        "c + d",
    )
    assert critic.made == [start.format(1), start.format(2)]


def test_what_a_solution_says_is_not_filled_in() -> None:
    form = CritiqueForm(request="{problem}|{solution}", each="{number}:{step}")
    posed = form.posed("a {solution} b", ["x {problem}", "{number}"], [])
    assert posed == Dialogue((), "a {solution} b|1:x {problem}\n2:{number}")


# --- how it is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "behind", "reward"),
    [
        ("good. Verdict:", " Yes", SURE**3),
        ("good. Verdict:", " No", 1 - SURE**2),
        ("good. Verdict:", " yes, no, no", SURE**3),  # the first behind the question
        ("no no", " Yes", SURE**3),  # it is asked for its verdict
        ("Verdict? yes", " dunno", 0.5),
    ],
)
def test_a_verdict_counts_by_its_tokens_probability(says: str, behind: str, reward: float) -> None:
    critic = ScriptedCritic(lambda *_: says, behind=behind)
    assert scored(critic, solution("a")).reward == pytest.approx(reward)


@pytest.mark.parametrize(
    ("says", "options", "reward"),
    [
        (r"\boxed{correct} ... \boxed{incorrect} END", {}, 0.0),
        (r"\boxed{incorrect} ... \boxed{\text{correct}} END", {}, 1.0),
        ("it is correct END", {}, 0.5),
        (r"\boxed{incorrectly} END", {}, 0.5),
        ("so: correct; so: incorrect END", {"verdict": r"so: (\w+)"}, 0.0),
        ("grade [correct] END", {"verdict": r"\[(.*?)\]"}, 1.0),
    ],
)
def test_a_verdict_may_stand_in_the_critique(
    says: str, options: dict[str, str], reward: float
) -> None:
    critic = ScriptedCritic(lambda *_: says, delimiter="END", certain=False)
    form = {"end": "END", "ask": "", "verdict": "box", "yes": "correct", "no": "incorrect"}
    score = scored(critic, solution("a"), **{**form, **options}, probability=False)
    assert score.reward == reward


def test_what_holds_no_verdict_counts_as_stated() -> None:
    critic = ScriptedCritic(lambda *_: "hm", behind="?")
    assert scored(critic, solution("a"), unsure=0.25).reward == 0.25


def test_several_critiques_are_averaged_by_different_seeds() -> None:
    def say(asked: Dialogue, seed: int) -> str:
        seeds.append(seed)
        return f"{'correct' if len(seeds) % 3 else 'incorrect'} END"

    seeds: list[int] = []
    critic = ScriptedCritic(say, delimiter="END")
    form: dict[str, Any] = {"end": "END", "ask": "", "yes": "correct", "no": "incorrect"}
    form["probability"] = False
    assert scored(critic, solution("a"), critiques=6, **form).reward == pytest.approx(4 / 6)
    assert len(set(seeds)) == 6
    again = list(seeds)
    seeds.clear()
    scored(critic, solution("a"), critiques=6, **form)
    assert seeds == again, "seeds are not those of the text"


def test_a_critique_keeps_to_its_limit_and_is_cut_there() -> None:
    critic = ScriptedCritic(lambda *_: "x" * 99)
    score = scored(critic, solution("a"), critique_tokens=10)
    assert critic.limits[0] == 10
    assert critic.made == ["\nVerdict:"], "what was cut is asked for its verdict"
    assert score.reward == pytest.approx(SURE**3)
    assert score.written_tokens == 10 + len(" Yes.")


def test_no_log_probabilities_are_told() -> None:
    critic = ScriptedCritic(lambda *_: "Verdict:", certain=False)
    with pytest.raises(ets.EngineError, match="load it with top_logprobs=1, or probability=false"):
        scored(critic, solution("a"))


# --- what it costs --------------------------------------------------------------------------------


def test_equal_texts_are_asked_once_and_cost_once() -> None:
    critic = ScriptedCritic(lambda *_: "fine. Verdict:")

    async def score() -> list[Score]:
        prm = GenerativePRM(critic, FORMS["instruct"])
        texts = ["a", "a", "b", "a"]
        found = list(await asyncio.gather(*(prm.score(solution(text)) for text in texts)))
        empty = solution("a").extend(Step(" \n\n", (1,), "step"))
        found.append(await prm.score(empty))
        await prm.aclose()
        return found

    first, *others = asyncio.run(score())
    assert len(critic.asked) == 2
    assert first.written_tokens == len("fine. Verdict:") + len(" Yes.")
    prompt = len(critic.asked[0].problem)
    assert first.prompt_tokens == prompt + prompt + len("fine. Verdict:")
    assert first.cached_tokens == 2
    assert [score.written_tokens > 0 for score in others] == [False, True, False, False]
    assert all(score.cached_tokens == first.prompt_tokens for score in (others[0], others[3]))


def test_the_cache_is_bounded() -> None:
    critic = ScriptedCritic(lambda *_: "Verdict:")

    async def score() -> None:
        prm = GenerativePRM(critic, FORMS["instruct"], cache=2)
        for text in ("a", "b", "a", "c", "a", "b"):
            await prm.score(solution(text))
        await prm.aclose()

    asyncio.run(score())
    assert [dialogue.problem.count("Step 1: b") for dialogue in critic.asked] == [0, 1, 0, 1]


def test_who_is_cancelled_ends_a_critique_that_nobody_else_waits_for() -> None:
    async def score() -> list[int]:
        critic = ScriptedCritic(lambda *_: "Verdict:", wait=asyncio.Event())
        prm = GenerativePRM(critic, FORMS["instruct"])
        one, other = (asyncio.create_task(prm.score(solution("a"))) for _ in range(2))
        running = []
        while not critic.running:
            await asyncio.sleep(0)
        for task in (one, other):
            task.cancel()
            await asyncio.wait([task])
            for _ in range(5):
                await asyncio.sleep(0)
            running.append(critic.running)
        assert critic.wait is not None
        critic.wait.set()
        assert (await prm.score(solution("a"))).reward > 0.1
        await prm.aclose()
        return running

    assert asyncio.run(score()) == [1, 0]


def test_a_solution_that_is_too_long_cuts_there() -> None:
    class Full(ScriptedCritic):
        def start_dialogue(self, dialogue: Dialogue) -> Prefix:
            raise ets.InputError("the prompt has 9 tokens, the model reads 8")

    with pytest.raises(ets.EngineError, match="cannot read the solution: the prompt has 9 tokens"):
        scored(Full(lambda *_: ""), solution("a"))


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("generative:demo?form=loud", r"form must be one of \['genprm', 'instruct', 'thinkprm'\]"),
        ("generative:demo?critiques=0", "critiques must be"),
        ("generative:demo?unsure=2", r"unsure must be in \[0, 1\]|unsure must"),
        ("generative:demo?request=x", "request must hold '{problem}' and '{solution}', got 'x'"),
        ("generative:demo?verdict=(", r"verdict must be word, box or a regular expression, got"),
        ("generative:demo?verdict=yes", "verdict must have one group, the yes or no, got 'yes'"),
        ("generative:demo?loud=1", "unknown option 'loud' of the bundled policy"),
        ("generative:policy", "needs the search's policy beside it"),
        ("generative:nowhere", "policy must be demo, transformers:PATH"),
        ("generative:", "prm must have a path or a name behind its colon"),
    ],
)
def test_bad_names_are_refused(name: str, said: str) -> None:
    with pytest.raises(ets.InputError, match=said):
        load_prm(name)


def test_critics_of_ones_own_are_refused() -> None:
    from scripted_engines import ScriptedPolicy

    with pytest.raises(ets.InputError, match="critic must be a policy of this package, got Scr"):
        GenerativePRM(ScriptedPolicy(), FORMS["instruct"])


# --- on the bundled policy: real tokens, real probabilities ---------------------------------------


def test_the_probability_is_that_of_raw_logits() -> None:
    from plain_demo import plain_logprobs

    async def score() -> tuple[Score, list[Prefix], str]:
        prm = load_prm("generative:demo?ask=&end=%0A%0A&yes=and&no=so&critique_tokens=64")
        assert isinstance(prm, GenerativePRM)
        roots: list[Prefix] = []
        critic = prm._critic
        begun = critic.start_dialogue, critic.start

        def start(posed: Any) -> Prefix:
            roots.append((begun[1] if isinstance(posed, str) else begun[0])(posed))
            return roots[-1]

        critic.start = critic.start_dialogue = start
        prefix = solution("Ben has 9 coins.", problem=PROBLEM)
        try:
            text = (await prm.critiques(prefix))[0]
            word = re.findall(r"\w+", text)[-2]
            prm.form = form_of("instruct", {"ask": "", "end": "\n\n", "yes": word, "no": "never"})
            prm._known.clear()
            return await prm.score(prefix), roots, text
        finally:
            await prm.aclose()

    found, roots, text = asyncio.run(score())
    from ets.policy import load_policy

    policy = load_policy("demo")
    try:
        step = list(policy.prompt.encode(text))  # type: ignore[attr-defined]
        decode = policy.prompt.decode  # type: ignore[attr-defined]
        logs = plain_logprobs(list(roots[-1].token_ids), step)
        word = re.findall(r"\w+", text)[-2]
        first = text.rfind(word)
        total, begin = 0.0, 0
        for at, token in enumerate(step):
            end = len(decode(step[: at + 1]))
            if begin < first + len(word) and first < end:
                total += float(logs[at, token])
            begin = end
    finally:
        asyncio.run(policy.aclose())
    assert found.reward == pytest.approx(math.exp(total), abs=1e-4)
    assert found.written_tokens == len(step)


@pytest.mark.parametrize("name", ["generative:demo", "generative:policy"])
def test_its_tokens_are_in_usage(name: str) -> None:
    """Of a search: what the critic read and wrote, each critique once."""
    prm = f"{name}?critique_tokens=16"
    with ets.Search(policy="demo", prm=prm, strategy=ets.REBASE(width=4)) as search:
        usage = search.solve(PROBLEM).usage
    steps = usage.prm_calls
    assert 0 < usage.prm_written_tokens <= steps * (16 + 2 * 8)
    assert usage.prm_tokens > steps
    assert usage.to_dict()["prm_written_tokens"] == usage.prm_written_tokens
    assert usage.policy_tokens == sum(step.policy_tokens for step in usage.steps)


def test_a_critic_on_vllm_is_told_the_length_of_solutions() -> None:
    pytest.importorskip("vllm")
    from ets.memory import Engine, with_shares

    for name in ("generative:vllm:nowhere?form=genprm", "outcome:vllm:nowhere"):
        found = with_shares(Engine("demo"), Engine(name), Engine(), width=4, max_tokens=700)
        assert found == ({}, {"max_tokens": 700}, {})
