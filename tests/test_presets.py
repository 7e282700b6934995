"""Presets: found by model and by name, beneath what is said, and rendered on real vocabularies."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ets
from ets import presets
from ets.bench.grid import Grid
from ets.cli.setup import Setup
from ets.errors import InputError
from ets.policy.base import PolicyOptions
from ets.policy.prompt import PolicyPrompt
from ets.presets import all_presets, find, with_preset
from ets.search.toml import read_config, search_arguments

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen2.5-Math-1.5B-Instruct", "qwen2.5-math"),
        ("vllm:Qwen/Qwen2.5-Math-72B-Instruct?top_p=0.9", "qwen2.5-math"),
        ("transformers:/models/qwen2.5-math-7b-instruct/", "qwen2.5-math"),
        ("openai:Qwen/Qwen2.5-Math-7B-Instruct@http://host/v1", "qwen2.5-math"),
        ("meta-llama/Llama-3.2-1B-Instruct", "search-and-learn"),
        ("vllm:meta-llama/Llama-3.1-8B-Instruct", "search-and-learn"),
        ("ets-llemma", "ets-llemma"),
    ],
)
def test_a_preset_is_found_by_model_and_by_name(model: str, name: str) -> None:
    assert find(model).name == name


@pytest.mark.parametrize("model", ["Qwen/Qwen2.5-Math-PRM-7B", "demo", "", "Qwen/Qwen2.5-Math-7B"])
def test_a_model_without_a_preset(model: str) -> None:
    with pytest.raises(InputError, match=r"there is no preset .*qwen2\.5-math, search-and-learn"):
        find(model)


def test_every_preset_holds_arguments_of_a_search() -> None:
    known = inspect.signature(ets.Search).parameters
    for preset in all_presets().values():
        assert set(preset.arguments) <= set(known)
        options = PolicyOptions(**preset.arguments["policy_options"])
        assert options.delimiter
        assert re.match(r"[\w.-]+/[\w.-]+, ", preset.source)


def test_what_is_said_wins() -> None:
    said = with_preset(
        {
            "preset": "auto",
            "policy": "vllm:meta-llama/Llama-3.2-1B-Instruct?temperature=0.5",
            "max_tokens": 512,
            "policy_options": {"top_p": 0.9},
        }
    )
    assert "preset" not in said
    assert (said["max_tokens"], said["max_depth"]) == (512, 40)
    assert said["policy_options"]["top_p"] == 0.9
    assert "temperature" not in said["policy_options"], "it stands in the name; twice is an error"
    assert "Step 1: [Concise description]" in said["policy_options"]["system_prompt"]
    assert with_preset({"seed": 1}) == {"seed": 1}


@pytest.mark.parametrize("name", ["qwen3", 3, ""])
def test_a_preset_that_there_is_not(name: Any) -> None:
    with pytest.raises(InputError, match="preset"):
        with_preset({"preset": name})
    with pytest.raises(InputError, match="none for a model of that name"):
        with_preset({"preset": "auto", "policy": "demo"})


def test_files_command_line_and_benchmarks_take_it(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text('preset = "ets-llama"\nmax_depth = 7\n')
    arguments = search_arguments(read_config(path))
    assert (arguments["max_step_tokens"], arguments["max_depth"]) == (256, 7)
    assert arguments["policy_options"]["temperature"] == 1.0
    setup = Setup.make(str(path), {"": {"max_tokens": 99}})
    assert setup.arguments["max_tokens"] == 99
    grid = Grid(search={"preset": "qwen2.5-math", "policy": "demo"})
    assert grid.search["max_tokens"] == 2048
    assert Grid(**grid.to_dict()).search == grid.search, "a run that goes on is the same run"


def test_a_search_with_a_preset_answers() -> None:
    """The bundled pair has no system prompt; it is the way of the arguments that is tried."""
    arguments = dict(find("ets-llama").arguments)
    arguments["policy_options"] = {"temperature": arguments["policy_options"]["temperature"]}
    problem = "Ben has 9 coins. Ben finds 6 coins. How many coins does Ben have now?"
    with ets.Search(strategy=ets.REBASE(width=4), **arguments) as search:
        assert search.solve(problem).answer == "15"


def test_the_page_lists_every_preset() -> None:
    rows = dict(re.findall(r"^\| `([\w.-]+)` \| (.*) \|$", PAGE.split("## Presets")[1], re.M))
    assert set(rows) == set(all_presets())
    for name, preset in all_presets().items():
        for words in (*preset.models, preset.source):
            assert words in rows[name]
        for key, value in preset.arguments.items():
            if key != "policy_options":
                assert f"`{key}` {value:,}" in rows[name]
        for key, value in preset.arguments["policy_options"].items():
            if key != "system_prompt":
                assert f"`{key}` {value!r}" in rows[name]


def vocabulary(make: Callable[[], Path]) -> Path:
    """A real tokenizer's folder; where the package index is out of reach the test says so."""
    from smollm2 import UnavailableError

    try:
        return make()
    except UnavailableError as error:
        pytest.skip(f"real vocabularies: {error}")


def real_prompt(path: Path, name: str, **more: Any) -> PolicyPrompt:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    options = PolicyOptions(**{**find(name).arguments["policy_options"], **more})
    return PolicyPrompt(tokenizer, options, end_ids=frozenset(), max_length=4096)


def test_qwens_prompt_on_its_vocabulary() -> None:
    import vocabularies

    prompt = real_prompt(vocabulary(vocabularies.qwen_tokenizer_path), "qwen2.5-math")
    start = prompt.start("What is 1 + 1?")
    assert prompt.text("What is 1 + 1?") == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within "
        "\\boxed{}.<|im_end|>\n<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert start.token_ids[:2] == (151644, 8948)
    assert start.token_ids[-3:] == (151644, 77091, 198)


def test_llamas_prompt_on_its_vocabulary() -> None:
    import vocabularies

    prompt = real_prompt(vocabulary(vocabularies.llama3_tokenizer_path), "search-and-learn")
    start = prompt.start("What is 1 + 1?")
    assert start.token_ids.count(128000) == 1
    assert start.token_ids[-4:] == (128006, 78191, 128007, 271)
    assert "\n\nSolve the following math problem efficiently and clearly:\n\n- For simple" in (
        prompt.text("What is 1 + 1?")
    )
    assert "solves the problem.<|eot_id|>" in prompt.text("What is 1 + 1?")


def test_the_module_is_public() -> None:
    assert ets.presets is presets
