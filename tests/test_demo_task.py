"""The demo's problems, words, slips, checker, tokenizer, and packed trees."""

import importlib.util
import json
import random
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from ets import demo
from ets.demo import tokenizer
from ets.demo.chain import LARGEST, compute
from ets.demo.check import answer_of, check_solution, check_step
from ets.demo.task import MAX_STEPS, MIN_STEPS, Problem, make_problem, problem_stream
from ets.demo.training import slips
from ets.demo.wording import STEP_END, word_step, wordings


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    # Threads that wait for each other on a busy machine made these tests ten times slower.
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


def some_problems(count: int, split: str = "train", seed: int = 5) -> list[Problem]:
    return list(islice(problem_stream(seed, split), count))


def test_steps_chain_and_stay_in_range() -> None:
    for problem in some_problems(300):
        value, bought = problem.start, None
        for step in problem.steps:
            assert step.result == compute(step.op, step.left, step.right)
            assert 0 < step.result <= LARGEST
            assert step.final == (step is problem.steps[-1])
            if step.kind == "bags":
                bought = step.result
                continue
            assert step.left == value
            assert bought in (None, step.right)
            value, bought = step.result, None
        assert problem.answer == value
        assert MIN_STEPS <= len(problem.steps) <= MAX_STEPS


def test_the_same_seed_gives_the_same_problems() -> None:
    assert some_problems(20) == some_problems(20)
    assert some_problems(20) != some_problems(20, seed=6)


def test_splits_share_no_problem() -> None:
    rng = random.Random(0)
    test = {row["problem"] for row in demo.problems()}
    dev = {p.text for p in some_problems(200, "dev", seed=1)}
    train = {make_problem(rng, rng.randint(3, 8), "train").text for _ in range(2000)}
    assert not test & dev
    assert not test & train
    assert not dev & train


def test_the_test_file_is_what_the_generator_makes() -> None:
    rows = demo.problems()
    lengths = [row["steps"] for row in rows]
    assert len({row["problem"] for row in rows}) == len({row["id"] for row in rows}) == 500
    assert {lengths.count(n) for n in range(MIN_STEPS, MAX_STEPS + 1)} <= {83, 84}
    for row, problem in zip(rows, problem_stream(2026, "test"), strict=False):
        assert (row["problem"], row["answer"]) == (problem.text, problem.answer)
        assert problem.split == "test"


def test_every_wording_is_right_and_there_are_many() -> None:
    for problem in some_problems(60):
        for index, step in enumerate(problem.steps):
            texts = wordings(step)
            assert len(set(texts)) >= 10
            assert all(check_step(problem, index, text + STEP_END) for text in texts)
            assert word_step(random.Random(index), step) in texts
            assert all((answer_of(text) == problem.answer) == step.final for text in texts)


@pytest.mark.parametrize("name", slips.SLIP_NAMES)
def test_the_checker_catches_every_slip(name: str) -> None:
    rng = random.Random(1)
    for problem in some_problems(60):
        for index, step in enumerate(problem.steps):
            wrong = slips.scattered_slip(rng, problem, index, step, only=name)
            assert wrong != step
            if not set(wordings(wrong)) & set(wordings(step)):
                assert not check_step(problem, index, word_step(rng, wrong))


def test_the_checker_catches_misconceptions_and_what_follows() -> None:
    rng = random.Random(2)
    seen = set()
    for problem in some_problems(200):
        for index, step in enumerate(problem.steps):
            trap = slips.misconception(step, step.left)
            if trap is None:
                continue
            seen.add(step.kind)
            texts = [word_step(rng, s) for s in problem.steps]
            texts[index] = word_step(rng, trap[0])
            assert check_solution(problem, texts) == [k < index for k in range(len(texts))]
    assert seen == {"gain", "lose", "bags", "split", "fewer", "many", "half_many", "transfer"}


def test_pupils_without_slips_are_right_and_others_carry_on() -> None:
    rng = random.Random(3)
    sure, careless = slips.Pupil(0, 0, 0), slips.Pupil()
    wrong = 0
    for problem in some_problems(200):
        assert slips.pupil_solution(rng, problem, sure) == list(problem.steps)
        steps = slips.pupil_solution(rng, problem, careless)
        texts = [word_step(rng, step) for step in steps]
        wrong += not all(check_solution(problem, texts))
    assert 60 < wrong < 180


def test_what_cannot_be_parsed_is_wrong() -> None:
    problem = some_problems(1)[0]
    text = word_step(random.Random(0), problem.steps[0])
    assert check_step(problem, 0, text)
    for bad in ("", "So what?", text + " The answer is 3.", text.lower(), text[:-1]):
        assert not check_step(problem, 0, bad)
    assert not check_step(problem, len(problem.steps), text)


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> object:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_tokenizer(folder)
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


def test_the_tokenizer_round_trips(fast) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(4)
    texts = ["Zoë a 1234 pièces?\n\nOK\tthen.", "", " 7", "<b>"]
    for problem in some_problems(40):
        texts += [problem.text, STEP_END.join(word_step(rng, s) for s in problem.steps)]
    for text in texts:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert fast.encode(text, add_special_tokens=False) == ids
        assert fast.decode(ids) == text


def test_numbers_and_blank_lines_are_single_tokens(fast) -> None:  # type: ignore[no-untyped-def]
    assert [len(tokenizer.encode(f" {n}")) for n in range(200)] == [1] * 200
    assert fast.encode(STEP_END, add_special_tokens=False) == [tokenizer.token_id(STEP_END)]
    assert fast.encode("<extra_0>", add_special_tokens=False) == [tokenizer.token_id("<extra_0>")]


def test_the_chat_template_is_the_training_format(fast) -> None:  # type: ignore[no-untyped-def]
    text = some_problems(1)[0].text
    chat = [{"role": "system", "content": "Reason."}, {"role": "user", "content": text}]
    prompt = fast.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert fast.encode(prompt, add_special_tokens=False) == tokenizer.encode_prompt(text)


def test_a_packed_tree_gives_the_plain_sequences_scores() -> None:
    torch = pytest.importorskip("torch")
    from ets.demo.training.model import PRM, Shape
    from ets.demo.training.packing import pack_tree, stack_trees

    torch.manual_seed(0)
    prm = PRM(Shape(hidden=64, layers=2, mlp=96))
    for weight in prm.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    rng = random.Random(6)
    trees = [pack_tree(rng, problem) for problem in some_problems(6)]
    batch = stack_trees(trees)
    with torch.no_grad():
        packed = prm.margin(prm.model(batch.ids, batch.positions, batch.mask))
        tags = 0
        for row, tree in enumerate(trees):
            for at, token in enumerate(tree.ids):
                if token != tokenizer.token_id("<extra_0>"):
                    continue
                path = [at]
                while tree.parent[path[-1]] >= 0:
                    path.append(tree.parent[path[-1]])
                ids = torch.tensor([[tree.ids[i] for i in reversed(path)]])
                plain = prm.margin(prm.model(ids))[0, -1]
                torch.testing.assert_close(packed[row, at], plain, atol=1e-4, rtol=1e-4)
                tags += 1
    assert tags > 60


def test_packed_labels_agree_with_the_checker() -> None:
    pytest.importorskip("torch")
    from ets.demo.training.packing import pack_tree

    rng = random.Random(7)
    for problem in some_problems(20):
        tree = pack_tree(rng, problem)
        for at, token in enumerate(tree.ids):
            if token != tokenizer.token_id("<extra_0>"):
                continue
            path = [at]
            while tree.parent[path[-1]] >= 0:
                path.append(tree.parent[path[-1]])
            ids = [tree.ids[i] for i in reversed(path)]
            cut = ids.index(tokenizer.token_id("<|assistant|>")) + 1
            steps: list[str] = []
            run: list[int] = []
            for index in ids[cut:]:
                if index == token:
                    steps.append(tokenizer.decode(run))
                    run = []
                else:
                    run.append(index)
            assert check_solution(problem, steps)[-1] == bool(tree.label[at])


def test_the_policy_loads_in_transformers_and_agrees(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from ets.demo.training.model import Policy, Shape, export, load

    torch.manual_seed(0)
    export(Policy(Shape(hidden=64, layers=2, mlp=96)), tmp_path)
    ours, theirs = (
        load(tmp_path),
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32),
    )
    ids = torch.tensor([tokenizer.encode_prompt(some_problems(1)[0].text)])
    with torch.no_grad():
        mine = ours.logits(ours.model(ids))
        torch.testing.assert_close(mine, theirs(ids).logits, atol=1e-4, rtol=1e-4)


def test_the_prm_has_the_qwen2_form(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from ets.demo.training.model import PRM, Shape, export, load

    torch.manual_seed(0)
    prm = PRM(Shape(hidden=64, layers=2, mlp=96))
    for name, weight in prm.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    export(prm, tmp_path)
    ours = load(tmp_path)
    theirs = transformers.Qwen2Model(transformers.AutoConfig.from_pretrained(tmp_path)).eval()
    state = ours.state_dict()
    theirs.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("model.")})
    ids = torch.tensor([tokenizer.encode_prompt(some_problems(1)[0].text)])
    with torch.no_grad():
        hidden = theirs(ids).last_hidden_state
        torch.testing.assert_close(ours.model(ids), hidden, atol=1e-4, rtol=1e-4)


def test_the_bundled_prm_tells_right_steps_from_slips() -> None:
    pytest.importorskip("torch")
    from ets.demo.training.model import PRM, load
    from ets.demo.training.sample import judge

    rng = random.Random(8)
    texts, paths = [], []
    for problem in some_problems(12, "dev", seed=9):
        steps = [word_step(rng, step) for step in problem.steps]
        for index, step in enumerate(problem.steps):
            wrong = word_step(rng, slips.scattered_slip(rng, problem, index, step))
            if not check_step(problem, index, wrong):
                texts += [problem.text] * 2
                paths += [steps[: index + 1], [*steps[:index], wrong]]
    prm = load(demo.prm_path())
    assert isinstance(prm, PRM)
    rewards = [row[-1] for row in judge(prm, texts, paths)]
    better = [right > wrong for right, wrong in zip(rewards[::2], rewards[1::2], strict=True)]
    assert sum(better) > 0.8 * len(better)


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from ets.demo.training.fit import Run, Schedule
    from ets.demo.training.model import Policy, Shape

    def train(folder: Path, stops: list[int]) -> list[float]:
        for stop in stops:
            torch.manual_seed(0)
            model = Policy(Shape(hidden=32, layers=1, mlp=32, kv_heads=1))
            run = Run(model, Schedule(steps=12, warmup=2), folder, every=1e9)
            while run.step < stop:
                ids = torch.randint(5, 200, (2, 9), generator=torch.manual_seed(run.step))
                logits = model.logits(model.model(ids[:, :-1]))
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
                run.update(loss, {"loss": loss.item()})
            run.save()
        return [float(weight.detach().sum()) for weight in model.parameters()]

    assert train(tmp_path / "a", [12]) == train(tmp_path / "b", [5, 12])


def test_importing_the_demo_imports_no_torch() -> None:
    code = "import sys, ets.demo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_bundled_checkpoints_have_the_standard_form() -> None:
    for folder, name, limit in (
        (demo.policy_path(), "LlamaForCausalLM", 2_000_000),
        (demo.prm_path(), "Qwen2ForProcessRewardModel", 8_000_000),
    ):
        config = json.loads((folder / "config.json").read_text())
        assert config["architectures"] == [name]
        assert (folder / "model.safetensors").stat().st_size <= limit
        assert {"tokenizer.json", "tokenizer_config.json"} <= {f.name for f in folder.iterdir()}
