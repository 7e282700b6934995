"""Values of wrong types at every public argument: an `InputError` of one line that names it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pytest

import ets
from conftest import DEMO
from ets import presets
from ets._core import beam_weights, dora_weights, dvts_weights, particle_weights
from ets.answer.tally import Tally
from ets.bench.grid import Grid
from ets.checks import shown
from ets.demo.blurred_checker import BlurredChecker
from ets.embed import load_embedder
from ets.embed.lexical import LexicalEmbedder
from ets.embed.vllm import VLLMEmbedder
from ets.engines.vllm.options import check_kind
from ets.errors import InputError
from ets.policy import load_policy
from ets.policy.base import PolicyOptions
from ets.policy.vllm import VLLMPolicy
from ets.prm import load_prm
from ets.prm.vllm import VLLMPRM
from ets.search.toml import read_toml
from ets.strategy.registry import strategy_by_name
from ets.tree.seeds import child_seed, problem_seed, root_seed
from scripted_engines import ScriptedPolicy, ScriptedPRM

Target = tuple[Callable[..., Any], dict[str, str]]


class Unshowable:
    """Whose repr fails, as that of a half-made object can."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def odd() -> list[Any]:
    """What nothing here takes."""
    return [
        object(),
        Unshowable(),
        b"x",
        [1],
        [],
        {1: 2},
        {1},
        1j,
        Decimal(1),
        np.array([1, 2]),
        np.ones((2, 2)),
        np.array("x"),
        len,
        int,
        iter([]),
    ]


BESIDE: dict[str, list[Any]] = {
    "int": [1.5, math.nan, True, "1", None, np.float32(1), np.bool_(True)],
    "count": [1.5, math.nan, True, "1", None, -1, 10**5000],
    "number": [True, "1", None, math.nan, math.inf, 10**400],
    "real": [True, "1", None, math.nan, 10**400],
    "text": [1, 1.5, True, None, "half \ud83d a sign"],
    "texts": [1, None, [None], ("x", 1), ["\ud83d"]],
    "flag": [0, 1, "true", None, np.bool_(True)],
    "choice": [1, True, None, "no such"],
    "path": [1, 1.5, True, None, "", "a\0b", b"x"],
    "name": [1, 1.5, True, None],
    "options": [1, "x", [("a", 1)], True],
    "strategy": [1, "ets", ets.REBASE, True],
    "engine": [1, 1.5, True, None, ScriptedPolicy],
    "prm": [1, 1.5, True, None, ScriptedPRM],
    "children": [1, None, "x"],
    "values": [1, None, "x", ["x"], [True], [math.nan], [{}], [object()], [np.ones(2)]],
    "pattern": [1, True, "(", b"x", "a{99999999999999}"],
    "budget": [1, "x", 1.5, {"tokens": 3}],
    "interrupt": [1, True, "x", ets.tree_search.Interrupt],
    "problems": [1, 1.5, None, "a problem", b"x"],
    "array": [1, 1.5, "x", None, np.array([1j]), np.array(["x"])],
    "ids": [1, 1.5, "x", None, np.array([1.5, 2.0]), np.array(["x"])],
}
TAKEN: dict[str, tuple[type, ...]] = {
    "children": (list, dict, set, np.ndarray, Iterator),
    "ids": (np.ndarray,),
    "options": (dict,),
    "pattern": (bytes,),
    "prm": (type(len),),
    "problems": (list, dict, set, np.ndarray, Iterator),
    "real": (Decimal,),
    "texts": (list, dict, set, Iterator),
    "values": (list,),
}
"""Of the odd values, what is taken or refused elsewhere, if with other things in it."""


def wrong(kind: str) -> list[Any]:
    """Values that an argument of this kind does not take; with `?` it may be None."""
    name = kind.rstrip("?")
    values = [value for value in odd() if not isinstance(value, TAKEN.get(name, ()))]
    return [v for v in (*values, *BESIDE[name]) if v is not None or kind == name]


def search(**options: Any) -> ets.Search:
    given = {"policy": ScriptedPolicy(), "prm": ScriptedPRM(), "strategy": ets.REBASE(width=2)}
    return ets.Search(**{**given, **options})


def in_search(method: str, **options: Any) -> object:
    with search() as found:
        made = getattr(found, method)(**options)
        return list(made) if method == "stream" else made


def from_toml(**options: Any) -> object:
    return ets.Search.from_toml(**options)


def tree(**options: Any) -> ets.TreeSearch:
    return ets.TreeSearch(**{"strategy": ets.ETS(width=2), "prompt_tokens": 3, **options})


def of_tree(method: str, **options: Any) -> object:
    return getattr(tree(), method)(**options)


def of_arena(method: str, **options: Any) -> object:
    arena = ets.Tree(3)
    arena.extend(np.array([0, 0]), np.array([1, 1]))
    return getattr(arena, method)(**options)


def transformers_policy(**options: Any) -> object:
    from ets.policy.transformers import TransformersPolicy

    return TransformersPolicy(**{"path": DEMO / "policy", **options})


def transformers_prm(**options: Any) -> object:
    from ets.prm.transformers import TransformersPRM

    return TransformersPRM(**{"path": DEMO / "prm", **options})


def sentence_transformers(**options: Any) -> object:
    from ets.embed.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(**{"name_or_path": "nowhere/at-all", **options})


def openai_policy(**options: Any) -> object:
    from ets.policy.openai import OpenAIPolicy

    return OpenAIPolicy(**{"model": "m", "url": "http://127.0.0.1:9/v1", **options})


def pooling(**options: Any) -> object:
    from ets.prm.pooling import PoolingPRM

    return PoolingPRM(**{"model": "m", "url": "http://127.0.0.1:9/v1", **options})


REWARDS = np.array([0.9, 0.5])
PATH = str(DEMO / "policy")
OF_MODELS = {
    "path": "path",
    "device": "name?",
    "dtype": "choice?",
    "max_batch": "count",
    "prefill_tokens": "count",
    "cache_tokens": "count",
    "max_length": "count?",
    "revision": "name?",
    "trust_remote_code": "flag",
}
OF_SERVERS = {
    "model": "name",
    "url": "text",
    "api_key": "name?",
    "timeout": "number",
    "max_retries": "count",
    "max_in_flight": "count",
    "max_length": "count?",
    "patience": "number",
}
OF_PROMPTS = {
    "temperature": "number",
    "top_p": "number",
    "delimiter": "text",
    "stop": "texts",
    "system_prompt": "text?",
    "user_template": "text",
    "chat_template": "text?",
    "answer_start": "text",
    "continue_final_message": "flag",
    "answer_markers": "texts",
    "step": "choice",
}
WIDTH = {"width": "count"}
REWARD = {**WIDTH, "reward": "choice"}
WARM = {**REWARD, "temperature": "number"}
OF_SEEDS = {"seed": "int", "problem": "text"}
TARGETS: dict[str, Target] = {
    "Search": (
        search,
        {
            "policy": "engine",
            "prm": "prm",
            "strategy": "strategy?",
            "embedder": "engine",
            "seed": "int",
            "policy_options": "options?",
            "prm_options": "options?",
            "embedder_options": "options?",
            "max_step_tokens": "count?",
            "max_tokens": "count?",
            "max_depth": "count?",
            "prm_thinking": "choice?",
            "vote": "choice",
            "score": "choice",
            "answer_pattern": "pattern?",
            "budget": "budget?",
            "kv_budget": "count?",
            "straggler": "number",
            "request_order": "choice",
        },
    ),
    "Search.from_toml": (from_toml, {"path": "path"}),
    "Search.solve": (partial(in_search, "solve"), {"problem": "text"}),
    "Search.stream": (partial(in_search, "stream"), {"problem": "text"}),
    "Search.map": (partial(in_search, "map"), {"problems": "problems"}),
    "Search.map, options": (
        partial(in_search, "map", problems=["a"]),
        {"concurrency": "count", "ordered": "flag"},
    ),
    "Budget": (ets.Budget, {"tokens": "count?", "seconds": "number?", "prm_calls": "count?"}),
    "ETS": (
        partial(ets.ETS, width=4),
        {
            **WARM,
            "lambda_b": "number",
            "lambda_d": "number?",
            "cluster_threshold": "number",
            "node_cost": "choice",
            "solver": "choice",
            "time_limit": "number?",
        },
    ),
    "REBASE": (partial(ets.REBASE, width=4), WARM),
    "BeamSearch": (partial(ets.BeamSearch, width=4), {**REWARD, "beam": "count?"}),
    "DVTS": (partial(ets.DVTS, width=4), {**REWARD, "subtrees": "count?"}),
    "DORA": (partial(ets.DORA, width=4), {**WARM, "similarity_temperature": "number"}),
    "ParticleFilter": (partial(ets.ParticleFilter, width=4), {**WARM, "resampling": "choice"}),
    "BestOfN": (partial(ets.BestOfN, width=4), WIDTH),
    "TreeSearch": (
        tree,
        {
            "strategy": "strategy",
            "prompt_tokens": "count",
            "seed": "int",
            "max_tokens": "count",
            "max_depth": "count",
            "kv_budget": "int?",
        },
    ),
    "TreeSearch.tell": (partial(of_tree, "tell"), {"children": "children"}),
    "TreeSearch.stop": (partial(of_tree, "stop"), {"reason": "name"}),
    "TreeSearch.from_dict": (ets.TreeSearch.from_dict, {"data": "options"}),
    "TreeSearch.from_json": (ets.TreeSearch.from_json, {"text": "text"}),
    "PolicyOptions": (PolicyOptions, OF_PROMPTS),
    "LexicalEmbedder": (LexicalEmbedder, {"dim": "count"}),
    "LexicalEmbedder.vector": (LexicalEmbedder().vector, {"text": "name"}),
    "BlurredChecker": (BlurredChecker, {"auroc": "number", "seed": "count"}),
    "Tally": (Tally, {"vote": "choice", "score": "choice", "answer_pattern": "pattern?"}),
    "load_policy": (load_policy, {"policy": "engine"}),
    "load_prm": (load_prm, {"prm": "prm"}),
    "load_embedder": (load_embedder, {"embedder": "engine"}),
    "strategy_by_name": (strategy_by_name, {"name": "choice"}),
    "presets.find": (presets.find, {"model": "text"}),
    "read_toml": (read_toml, {"path": "path"}),
    "problem_seed": (
        partial(problem_seed, seed=0, problem="a"),
        {"seed": "int", "problem": "text"},
    ),
    "root_seed": (root_seed, {"seed": "int"}),
    "child_seed": (partial(child_seed, parent=0, index=0), {"parent": "count", "index": "count"}),
    "TransformersPolicy": (transformers_policy, {**OF_MODELS, **OF_PROMPTS, "lora": "path?"}),
    "TransformersPRM": (
        transformers_prm,
        {**OF_MODELS, "incremental": "flag", "format": "choice?"},
    ),
    "SentenceTransformersEmbedder": (
        sentence_transformers,
        {"name_or_path": "path", "device": "name?", "max_batch": "count"},
    ),
    "OpenAIPolicy": (openai_policy, {**OF_SERVERS, **OF_PROMPTS, "tokenizer": "path?"}),
    "PoolingPRM": (pooling, {**OF_SERVERS, "checkpoint": "path?"}),
    "VLLMPolicy": (
        partial(VLLMPolicy, path=PATH),
        {"path": "path", "lora": "path?", "max_tokens": "count?", **OF_PROMPTS},
    ),
    "VLLMPRM": (
        partial(VLLMPRM, path=PATH),
        {"path": "path", "max_tokens": "count?", "incremental": "flag", "format": "choice?"},
    ),
    "VLLMEmbedder": (partial(VLLMEmbedder, path=PATH), {"path": "path", "pooling": "choice?"}),
    "Grid": (
        Grid,
        {
            "dataset": "text",
            "split": "text?",
            "fields": "options",
            "skip": "count",
            "problems": "count?",
            "strategies": "values",
            "widths": "values",
            "seeds": "values",
            "lambda_b": "values",
            "lambda_d": "values",
            "sweep": "options",
            "concurrency": "count",
            "workers": "count",
            "trees": "flag",
            "bank": "text?",
            "bank_read_only": "flag",
            "bank_gib": "number",
            "search": "options",
        },
    ),
    "rebase_weights": (
        partial(ets.rebase_weights, rewards=REWARDS, width=3),
        {"rewards": "array", "width": "count", "temperature": "real?"},
    ),
    "beam_weights": (
        partial(beam_weights, rewards=REWARDS, width=3),
        {"rewards": "array", "width": "count", "keep": "count?"},
    ),
    "particle_weights": (
        partial(particle_weights, rewards=REWARDS, width=3, seed=0),
        {
            "rewards": "array",
            "width": "count",
            "temperature": "real?",
            "seed": "count",
            "method": "choice?",
        },
    ),
    "dvts_weights": (
        partial(dvts_weights, rewards=REWARDS, subtrees=np.array([0, 1]), shares=np.array([1, 1])),
        {"rewards": "array", "subtrees": "ids", "shares": "ids"},
    ),
    "dora_weights": (
        partial(dora_weights, rewards=REWARDS, embeddings=np.ones((2, 2)), width=3),
        {"rewards": "array", "width": "count", "temperature": "real?"},
    ),
    "cluster_steps": (
        partial(ets.cluster_steps, embeddings=np.ones((2, 2))),
        {"threshold": "real?", "interrupt": "interrupt?"},
    ),
    "select_leaves": (
        partial(
            ets.select_leaves,
            parents=np.array([-1, 0, 0]),
            leaves=np.array([1, 2]),
            weights=REWARDS,
            clusters=np.array([0, 1]),
            lambda_b=1.0,
        ),
        {
            "parents": "ids",
            "leaves": "ids",
            "weights": "array",
            "clusters": "ids?",
            "lambda_b": "real",
            "lambda_d": "real?",
            "lambda_r": "real?",
            "cluster_worth": "array?",
            "rho": "real?",
            "node_costs": "array?",
            "node_tokens": "ids?",
            "kv_budget": "count?",
            "solver": "choice?",
            "time_limit": "real?",
            "interrupt": "interrupt?",
        },
    ),
    "Tree": (ets.Tree, {"prompt_tokens": "count"}),
    "Tree.add": (
        partial(of_arena, "add", parent=0, tokens=1),
        {"parent": "int", "tokens": "count"},
    ),
    "Tree.extend": (
        partial(of_arena, "extend", parents=np.array([0]), tokens=np.array([1])),
        {"parents": "ids", "tokens": "ids"},
    ),
    "Tree.path": (partial(of_arena, "path"), {"node": "count"}),
    "Tree.kv_tokens": (partial(of_arena, "kv_tokens"), {"leaves": "ids"}),
    "Tree.held": (partial(of_arena, "held"), {"leaves": "ids"}),
    "Tree.select": (
        partial(
            of_arena, "select", leaves=np.array([1, 2]), weights=np.array([2.0, 1.0]), lambda_b=1.0
        ),
        {
            "leaves": "ids",
            "weights": "array",
            "clusters": "ids?",
            "lambda_b": "real",
            "lambda_d": "real?",
            "node_cost": "choice?",
            "kv_budget": "count?",
            "solver": "choice?",
            "time_limit": "real?",
            "interrupt": "interrupt?",
        },
    ),
}
SAID = {"data": "TreeSearch", "model": "", "name": "strategy", "widths": "width"}
"""What an error calls an argument, where that is not its name."""
CASES = [
    pytest.param(name, argument, kind, id=f"{name}-{argument}")
    for name, (_, arguments) in TARGETS.items()
    for argument, kind in arguments.items()
]


@pytest.mark.parametrize(("name", "argument", "kind"), CASES)
def test_a_value_of_a_wrong_type_is_refused(name: str, argument: str, kind: str) -> None:
    call = TARGETS[name][0]
    assert [
        (shown(value), fault)
        for value in wrong(kind)
        if (fault := fault_of(call, argument, value)) is not None
    ] == []


def fault_of(call: Callable[..., Any], argument: str, value: Any) -> str | None:
    """What is wrong with the refusal of a value; None if it is right."""
    try:
        call(**{argument: value})
    except InputError as error:
        said = str(error)
        right = SAID.get(argument, argument) in said and "\n" not in said and len(said) < 700
        return None if right else said
    except Exception as error:  # noqa: BLE001 - any other is what this looks for
        return repr(error)
    return "taken"


@pytest.mark.parametrize(
    ("load", "name", "options"),
    [
        (load_policy, "demo", {"colour": 1}),
        (load_policy, "demo?colour=1", {}),
        (load_policy, "demo", {"path": "elsewhere"}),
        (load_policy, "openai:m@http://127.0.0.1:9/v1?url=x", {}),
        (load_policy, "openai:m@http://127.0.0.1:9/v1", {"colour": 1}),
        (load_policy, f"vllm:{PATH}", {"self": 1}),
        (load_prm, "demo", {"colour": 1}),
        (load_prm, "none", {"colour": 1}),
        (load_prm, "demo-checker?colour=1", {}),
        (load_prm, "demo", {"path": "elsewhere"}),
        (load_embedder, "lexical", {"colour": 1}),
        (load_embedder, "lexical?dim=8&colour=1", {}),
        (load_embedder, "sentence-transformers:nowhere?colour=1", {}),
        (load_embedder, "sentence-transformers:nowhere", {"name_or_path": "elsewhere"}),
    ],
)
def test_an_option_that_there_is_not(
    load: Callable[..., Any], name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"colour|path|url|self") as error:
        load(name, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("no", bool),
        (1, bool),
        ([True], bool),
        ("2", int),
        (True, int),
        (1.5, int),
        ("0.5", float),
        (True, float),
        (math.nan, float),
        (object(), float),
    ],
)
def test_options_of_vllm_are_of_its_kind(value: Any, kind: Any) -> None:
    with pytest.raises(InputError, match="some_option must be"):
        check_kind("some_option", value, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (False, bool),
        (2, int),
        (1, float),
        (0.5, float),
        (None, int),
        ("4k", int | None),
        (1, "int"),
    ],
)
def test_other_options_of_vllm_are_left_to_it(value: Any, kind: Any) -> None:
    check_kind("some_option", value, kind)


@pytest.mark.parametrize("value", [3, None, b"x", ["x"], "half \ud83d a sign"])
def test_options_of_prm_formats_are_texts(value: Any) -> None:
    with pytest.raises(InputError, match="after_problem must be a text"):
        load_prm(f"transformers:{DEMO / 'prm'}", format="rlhflow", after_problem=value)
