"""Every public argument, by what takes it, with the kind of value that it takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import ets
from conftest import DEMO
from ets import presets
from ets._core import beam_weights, dora_weights, dvts_weights, particle_weights
from ets.answer.tally import Tally
from ets.bench.grid import Grid
from ets.demo.blurred_checker import BlurredChecker
from ets.embed import load_embedder
from ets.embed.lexical import LexicalEmbedder
from ets.embed.vllm import VLLMEmbedder
from ets.policy import load_policy
from ets.policy.base import PolicyOptions
from ets.policy.vllm import VLLMPolicy
from ets.prm import load_prm
from ets.prm.vllm import VLLMPRM
from ets.search.toml import read_toml
from ets.strategy.registry import strategy_by_name
from ets.tree.seeds import child_seed, problem_seed, root_seed, search_seed
from scripted_engines import ScriptedPolicy, ScriptedPRM

Target = tuple[Callable[..., Any], dict[str, str]]


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


def chat_policy(**options: Any) -> object:
    from ets.policy.chat import ChatPolicy

    return ChatPolicy(**{"model": "m", "url": "http://127.0.0.1:9/v1", **options})


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
    "thinking_step": "choice",
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
            "until": "until?",
            "kv_budget": "count?",
            "straggler": "number",
            "engine_timeout": "number?",
            "request_order": "choice",
        },
    ),
    "Search.from_toml": (from_toml, {"path": "path"}),
    "Search.solve": (partial(in_search, "solve"), {"problem": "text"}),
    "Search.stream": (partial(in_search, "stream"), {"problem": "text"}),
    "Search.map": (partial(in_search, "map"), {"problems": "problems"}),
    "Search.map, options": (
        partial(in_search, "map", problems=["a"]),
        {"concurrency": "count", "ordered": "flag", "budget": "shared?"},
    ),
    "Certain": (ets.Certain, {"error": "number", "batch": "count", "most": "count?"}),
    "SharedBudget": (ets.SharedBudget, {"tokens": "count"}),
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
    "ParticleFilter": (
        partial(ets.ParticleFilter, width=4),
        {
            **WARM,
            "resampling": "choice",
            "annealing": "choice",
            "ess_threshold": "number",
            "early": "number",
        },
    ),
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
            "skip": "count",
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
    "search_seed": (partial(search_seed, seed=0, number=1), {"seed": "int", "number": "count"}),
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
    "ChatPolicy": (
        chat_policy,
        {
            **OF_SERVERS,
            "temperature": "number?",
            "top_p": "number?",
            "top_logprobs": "count",
            "vocabulary": "count",
            "seed_bits": "count",
            "token_limit": "choice?",
            "stop": "texts",
            "delimiter": "text",
            "system_prompt": "text?",
            "user_template": "text",
            "parallel_tool_calls": "flag?",
            "extra_body": "options?",
            "headers": "options?",
        },
    ),
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
            "ray": "text?",
            "worker_options": "options",
            "trees": "flag?",
            "bank": "text?",
            "bank_read_only": "flag",
            "bank_gib": "number",
            "shared_tokens": "count?",
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
