"""The words of the varied task in `benches/`: right ones, wrong ones, and what they mean."""

import random
from itertools import islice

import pytest

pytest.importorskip("torch")  # the style is one of training

from ets.demo.chain import Step
from ets.demo.check import check_solution
from ets.demo.task import Problem, problem_stream
from ets.demo.tokenizer import TAG, decode, encode, token_id
from ets.demo.training import slips
from ets.demo.training.packing import pack_tree
from ets.demo.wording import wordings
from varied_wording import VARIED, before, check_varied, meaning, word_varied


def some_problems(count: int) -> list[Problem]:
    return list(islice(problem_stream(5, "train"), count))


def some_texts(step: Step, count: int = 16) -> list[str]:
    rng = random.Random(0)
    return [word_varied(rng, step) for _ in range(count)]


def test_every_text_is_right_and_hardly_one_repeats() -> None:
    drawn = repeated = 0
    for problem in some_problems(40):
        for index, step in enumerate(problem.steps):
            texts = some_texts(step)
            drawn += len(texts)
            repeated += len(texts) - len(set(texts))
            assert all(check_varied(problem, index, text) for text in texts)
            for text in texts:
                ids, labels = VARIED.judge(step)(text)
                assert decode(ids[:-1]) == text
                assert ids[-1] == token_id(TAG)
                assert all(labels)
    assert repeated < 0.02 * drawn


def test_wrong_lines_before_a_right_wording_are_wrong() -> None:
    for problem in some_problems(30):
        for index, step in enumerate(problem.steps):
            asked, known = before(step)
            right = wordings(step)[0]
            other = "Then to nobody."
            for lines in ([other], [asked[0], other], [asked[0]] * 2, [known[0], known[1]]):
                text = "\n".join([*lines, right])
                assert not check_varied(problem, index, text)
                ids, labels = VARIED.judge(step)(text)
                assert not labels[-1]
                assert labels == sorted(labels, reverse=True)
                assert decode(ids[:-1]) == text
            assert not check_varied(problem, index, asked[0])
            assert not check_varied(problem, len(problem.steps), right)


def test_slips_are_wrong_and_mean_something_else() -> None:
    rng = random.Random(1)
    for problem in some_problems(60):
        for index, step in enumerate(problem.steps):
            assert len(set(map(meaning, some_texts(step)))) == 1
            wrong = slips.scattered_slip(rng, problem, index, step, only="wrong_arithmetic")
            text = word_varied(rng, wrong)
            assert not check_varied(problem, index, text)
            assert not VARIED.judge(step)(text)[1][-1]
            assert meaning(text) != meaning(word_varied(rng, step))


def test_packed_labels_agree_with_the_checker() -> None:
    rng = random.Random(7)
    verdicts = []
    for problem in some_problems(20):
        tree = pack_tree(rng, problem, style=VARIED)
        for at, token in enumerate(tree.ids):
            if token != token_id(TAG):
                continue
            path = [at]
            while tree.parent[path[-1]] >= 0:
                path.append(tree.parent[path[-1]])
            text = decode(
                tree.ids[i] if tree.ids[i] != token else encode("\n\n")[0] for i in reversed(path)
            )
            steps = text.removeprefix(problem.text).removesuffix("\n\n").split("\n\n")
            verdicts.append(bool(tree.label[at]))
            assert check_solution(problem, steps, VARIED.check)[-1] == verdicts[-1]
    assert {True, False} == set(verdicts)
