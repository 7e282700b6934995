"""Options from files, and the page that lists them all, held against the code."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ets
from ets.bench.grid import Grid
from ets.cli import options
from ets.embed.hidden_state import HiddenStateEmbedder
from ets.embed.lexical import LexicalEmbedder
from ets.embed.sentence_transformers import SentenceTransformersEmbedder
from ets.embed.vllm import VLLMEmbedder
from ets.errors import InputError
from ets.policy.base import PolicyOptions
from ets.policy.bundled import BundledPolicy
from ets.policy.chat import ChatPolicy
from ets.policy.chat_options import ChatOptions
from ets.policy.openai import OpenAIPolicy
from ets.policy.transformers import TransformersPolicy
from ets.policy.vllm import VLLMPolicy
from ets.prm.bundled import BundledPRM
from ets.prm.critique_form import CritiqueForm
from ets.prm.formats import FORMATS
from ets.prm.policy import PolicyPRM
from ets.prm.pooling import PoolingPRM
from ets.prm.transformers import TransformersPRM
from ets.prm.vllm import VLLMPRM
from ets.ray.fleet import RayWorkers
from ets.rollout.options import OPTIONS, TABLES, SearchOptions, default_text
from ets.search.toml import read_config, search_arguments
from ets.strategy.registry import STRATEGIES, strategy_by_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "options.md").read_text("utf-8")


def generative_options(
    *,
    form: str = "instruct",
    critiques: int = 1,
    critique_tokens: int = 1024,
    unsure: float = 0.5,
    cache: int = 4096,
) -> None:
    """What its name takes of its own; the constructor has the form itself, and the critic."""


SECTIONS: dict[str, Callable[..., Any]] = {
    "`ets.Search`": ets.Search,
    **{f"`{name}`": kind for name, kind in STRATEGIES.items() if name != "ets-kv"},
    "`ets.Workers`": ets.Workers,
    "`ets.ray.RayWorkers`": RayWorkers,
    "Budget": ets.Budget,
    "Until": ets.Certain,
    "Every policy": PolicyOptions,
    "`demo`": BundledPolicy,
    "`vllm:PATH`": VLLMPolicy,
    "`transformers:PATH`": TransformersPolicy,
    "`openai:MODEL@URL`": OpenAIPolicy,
    "`chat:MODEL@URL`": ChatPolicy,
    "What a chat policy asks for": ChatOptions,
    "`prm demo`": BundledPRM,
    "`prm vllm:PATH`": VLLMPRM,
    "`prm transformers:PATH`": TransformersPRM,
    "`pooling:MODEL@URL`": PoolingPRM,
    "`prm policy`": PolicyPRM,
    "`generative:NAME`": generative_options,
    "Forms of a generative PRM": CritiqueForm,
    **{f"format `{name}`": kind for name, kind in FORMATS.items()},
    "`lexical`": LexicalEmbedder,
    "`sentence-transformers:NAME`": SentenceTransformersEmbedder,
    "`vllm:NAME`": VLLMEmbedder,
    "`policy`": HiddenStateEmbedder,
}
NOT_OPTIONS = {
    *("path", "model", "url", "name_or_path", "checkpoint"),  # what the name itself says
    *("means", "tokenizer", "max_length", "name"),  # of an embedder that the policy makes
}


def listed(title: str) -> dict[str, str]:
    """The options of a section of the page, with what stands under `default`."""
    body = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    return {} if body is None else table(body[1])


def table(text: str) -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \| ?(.*?) ?\| ?.*\|$", text, re.M)
    assert len(rows) == len(dict(rows)), "an option is listed twice"
    return dict(rows)


def taken(kind: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options that a constructor takes by name."""
    parameters = inspect.signature(kind).parameters.values()
    names = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if kind in (ets.Workers, RayWorkers):
        return {p.name: p for p in names}
    of_search = [p for p in names if p.name != "workers"]  # where engines are, a section of its own
    keyword_only = [p for p in names if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if kind is HiddenStateEmbedder:
        keyword_only = [p for p in keyword_only if p.name not in NOT_OPTIONS]
    return {p.name: p for p in (of_search if kind is ets.Search else keyword_only)}


@pytest.mark.parametrize("title", SECTIONS)
def test_the_page_lists_every_option_with_its_default(title: str) -> None:
    check(listed(title), taken(SECTIONS[title]))


def test_the_page_of_benchmarks_lists_the_keys_of_the_grid() -> None:
    page = (DOCS / "bench.md").read_text("utf-8")
    defaults = Grid().to_dict()
    check(
        table(page),
        {
            name: parameter.replace(default=defaults[name])
            for name, parameter in inspect.signature(Grid).parameters.items()
        },
    )
    block = re.search(r"```toml\n(.*?)```", page, re.S)
    assert block
    assert len(Grid(**tomllib.loads(block[1])).cells()) == 4 * 2 + 2 * 2 * 2


def check(found: dict[str, str], options: dict[str, inspect.Parameter]) -> None:
    assert set(found) == set(options)
    for name, parameter in options.items():
        default = parameter.default
        if default is None:
            assert found[name]
            assert not found[name].startswith("`none`")
        elif default is inspect.Parameter.empty:
            assert found[name] == ""
        else:
            value = list(default) if isinstance(default, tuple) else default
            assert found[name] == f"`{json.dumps(value, ensure_ascii=False)}`", name


def test_the_page_says_of_a_search_what_is_declared() -> None:
    rows = [
        f"| `{name}` | {default_text(name, json.dumps)} | {said.meaning} |"
        for name, said in OPTIONS.items()
    ]
    assert "\n".join(rows) in PAGE, "docs/options.md must have these rows:\n" + "\n".join(rows)


def test_a_search_takes_what_is_declared_with_those_defaults() -> None:
    taken_by_search = {name: p.default for name, p in taken(ets.Search).items()}
    declared = {field.name: field.default for field in dataclasses.fields(SearchOptions)}
    assert declared.pop("strategy") == ets.ETS(width=16)
    assert taken_by_search.pop("strategy") is None
    assert taken_by_search == declared


def test_the_command_line_has_every_option_that_is_a_plain_value() -> None:
    groups = (options.ENGINES, options.SEARCH, options.BUDGETS, options.ANSWER)
    flags = {name for group in groups for name in group}
    assert {*OPTIONS} - {*TABLES} <= flags


def test_no_section_is_of_nothing() -> None:
    titles = re.findall(r"^##+ (.*)$", PAGE, re.M)
    assert len(titles) == len(set(titles))
    assert {title for title in titles if listed(title)} <= set(SECTIONS)


def test_the_example_of_the_page_is_a_configuration(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", PAGE, re.S)
    assert block
    path = tmp_path / "search.toml"
    path.write_text(block[1])
    arguments = search_arguments(read_config(path))
    assert arguments["strategy"] == ets.ETS(width=64)
    assert arguments["budget"] == ets.Budget(tokens=100_000)
    assert arguments["policy_options"] == {"max_model_len": 4096, "gpu_memory_utilization": 0.3}


def test_a_search_from_a_file_is_the_search_of_its_arguments(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(
        'seed = 3\nmax_depth = 6\nvote = "majority"\n[policy_options]\ntemperature = 0.8\n'
        '[strategy]\nname = "rebase"\nwidth = 4\n[budget]\nprm_calls = 30\n'
    )
    problem = "Ben has 9 coins. Ben finds 6 coins. How many coins does Ben have now?"
    with ets.Search.from_toml(path) as search:
        found = search.solve(problem)
    with ets.Search(
        strategy=ets.REBASE(width=4),
        seed=3,
        max_depth=6,
        vote="majority",
        policy_options={"temperature": 0.8},
        budget=ets.Budget(prm_calls=30),
    ) as search:
        expected = search.solve(problem)
    assert found.tree.to_json() == expected.tree.to_json()
    assert found.votes == expected.votes
    with ets.Search.from_toml(path, strategy=ets.BestOfN(width=2), seed=0) as search:
        assert search.strategy == ets.BestOfN(width=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policy = ", ["not a TOML file"]),
        ("polcy = 'demo'", ["unknown key 'polcy'", "policy, prm"]),
        ("strategy = 'ets'", ["strategy must be a table, [strategy]", "'ets'"]),
        ("[seed]\nx = 1", ["seed must be a plain value"]),
        ("policy = 3", ["policy must be a name, got 3"]),
        ("[strategy]\nname = 'a-star'", ["strategy must be one of ets, ets-kv", "'a-star'"]),
        ("[strategy]\nname = 'beam'\nlambda_b = 1.0", ["lambda_b", "beam", "width, beam, reward"]),
        ("[strategy]\nname = 'ets-kv'\nlambda_d = 1.0", ["lambda_d", "ets-kv"]),
        ("[strategy]\nname = 'ets-kv'\ncluster_threshold = 0.1", ["cluster_threshold", "ets-kv"]),
        ("[strategy]\nwidth = 0", ["width", "0"]),
        ("[budget]\nminutes = 3", ["'minutes' in budget", "tokens, seconds, prm_calls"]),
        ("[policy_options]\ncolour = 'red'", ["colour"]),
        ("max_depth = 0", ["max_depth must be at least 1, got 0"]),
        ("\udcff", ["not a TOML file"]),
        ("x = 1\nx = 2", ["not a TOML file"]),
        (f"x = {'[' * 100_000}", ["not a TOML file"]),
        ("seed = true", ["seed must be an integer", "True"]),
        ("seed = 1.5", ["seed must be an integer", "1.5"]),
        ("seed = 1e20", ["seed must be an integer", "1e+20"]),
        ("seed = 99999999999999999999", ["seed must be an integer of 64 bits", "9" * 20]),
        ("seed = 1979-05-27", ["seed must be an integer", "date"]),
        ("max_step_tokens = nan", ["max_step_tokens must be an integer", "nan"]),
        ("max_step_tokens = '8'", ["max_step_tokens must be an integer", "'8'"]),
        ("max_tokens = true", ["max_tokens must be an integer", "True"]),
        ("max_depth = inf", ["max_depth must be an integer", "inf"]),
        ("kv_budget = true", ["kv_budget must be an integer", "True"]),
        ("kv_budget = 99999999999999999999", ["kv_budget must be an integer from 1 to"]),
        ("straggler = true", ["straggler must be a number", "True"]),
        ("vote = []", ["vote must be one of", "[]"]),
        ("answer_pattern = 5", ["answer_pattern must be a regular expression", "5"]),
        ("answer_pattern = '('", ["answer_pattern must be a regular expression", "'('"]),
        ("request_order = true", ["request_order must be one of", "True"]),
        ("policy = []", ["policy must be a name", "[]"]),
        ("embedder = 3", ["embedder must be a name", "3"]),
        ("policy_options = 3", ["policy_options must be a table", "3"]),
        ("preset = 3", ["preset must be a name", "3"]),
        ("[policy_options]\ntemperature = true", ["temperature must be a number", "True"]),
        ("[policy_options]\ndelimiter = 3", ["delimiter must be a text", "3"]),
        ("[policy_options]\nstop = [3]", ["stop must be texts", "[3]"]),
        ("[policy_options]\nmax_batch = true", ["max_batch must be a positive integer", "True"]),
        ("[policy_options]\ncache_tokens = 1.5", ["cache_tokens must be an integer", "1.5"]),
        ("[policy_options]\npath = 'x'", ["policy has no option 'path'"]),
        ("[prm_options]\nincremental = 1", ["incremental must be True or False", "1"]),
        ("[embedder_options]\ndim = true", ["dim must be an integer", "True"]),
        ("[embedder_options]\nx = 1", ["unknown option 'x' of the embedder lexical"]),
        ("[strategy]\nname = []", ["strategy must be one of ets", "[]"]),
        ("[strategy]\nwidth = true", ["width must be an integer", "True"]),
        ("[strategy]\nlambda_b = nan", ["lambda_b must be in", "nan"]),
        ("[strategy]\nlambda_b = '1'", ["lambda_b must be a number", "'1'"]),
        ("[budget]\nseconds = nan", ["budget.seconds must be > 0", "nan"]),
        ("[budget]\ntokens = true", ["budget.tokens must be an integer", "True"]),
    ],
)
def test_mistakes_in_a_file_are_one_line(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "search.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as error:
        ets.Search.from_toml(path)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"absent\.toml"):
        ets.Search.from_toml(tmp_path / "absent.toml")


def test_strategies_by_name() -> None:
    assert strategy_by_name("ets-kv", width=8) == ets.ETS(width=8, lambda_d=0.0)
    assert {type(strategy_by_name(name)) for name in STRATEGIES} == set(STRATEGIES.values())


@pytest.mark.parametrize("name", ["stop", "answer_markers"])
def test_one_text_stands_for_a_list_of_one(name: str) -> None:
    one: dict[str, Any] = {name: "END"}
    several: dict[str, Any] = {name: ["END", "STOP"]}
    assert getattr(PolicyOptions(**one), name) == ("END",)
    assert getattr(PolicyOptions(**several), name) == ("END", "STOP")
    wrong: dict[str, Any] = {name: [3]}
    with pytest.raises(ValueError, match=rf"{name} must be texts, got \[3\]"):
        PolicyOptions(**wrong)
