"""The names of engines, with and without options."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ets.embed import load_embedder
from ets.embed.lexical import LexicalEmbedder
from ets.engines.name import EngineName
from ets.errors import InputError
from ets.policy import load_policy
from ets.policy.bundled import BundledPolicy
from ets.prm import load_prm


@pytest.mark.parametrize(
    ("name", "backend", "path", "options"),
    [
        ("demo", "demo", "", {}),
        ("vllm:org/model", "vllm", "org/model", {}),
        ("vllm:/a:b/c?x=1", "vllm", "/a:b/c", {"x": 1}),
        ("lexical?dim=512", "lexical", "", {"dim": 512}),
        (
            "vllm:m?tensor_parallel_size=2&dtype=bfloat16&enforce_eager=true&top_p=0.9",
            "vllm",
            "m",
            {
                "tensor_parallel_size": 2,
                "dtype": "bfloat16",
                "enforce_eager": True,
                "top_p": 0.9,
            },
        ),
        (
            "openai:m@http://127.0.0.1:8000/v1?timeout=5",
            "openai",
            "m@http://127.0.0.1:8000/v1",
            {"timeout": 5},
        ),
        ("vllm:m?system_prompt=a=b%26c%3F", "vllm", "m", {"system_prompt": "a=b&c?"}),
        (
            "vllm:m?compilation_config={%22mode%22:0}",
            "vllm",
            "m",
            {"compilation_config": {"mode": 0}},
        ),
        ("vllm:m?revision=", "vllm", "m", {"revision": ""}),
    ],
)
def test_a_name_is_backend_path_and_options(
    name: str, backend: str, path: str, options: dict[str, Any]
) -> None:
    parsed = EngineName.parse("policy", name, {})
    assert (parsed.backend, parsed.path, parsed.options) == (backend, path, options)


def test_options_beside_the_name_come_along() -> None:
    beside = {"b": 2}
    assert EngineName.parse("prm", "vllm:m?a=1", beside).options == {"a": 1, "b": 2}
    assert beside == {"b": 2}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vllm:", "policy must have a path or a name behind its colon, got 'vllm:'"),
        ("demo:?top_p=1", "behind its colon, got 'demo:[?]top_p=1'"),
        ("vllm:m?", r"policy takes options as \?KEY=VALUE&KEY=VALUE, got ''"),
        ("vllm:m?dtype", "got 'dtype'"),
        ("vllm:m?a=1&", "got ''"),
        ("vllm:m?tensor-parallel=2", "got 'tensor-parallel=2'"),
        ("vllm:m?a=1&a=2", "policy has the option 'a' twice, in 'vllm:m[?]a=1&a=2'$"),
        ("vllm:m?b=1", "policy has the option 'b' twice, in 'vllm:m[?]b=1' and beside it"),
    ],
)
def test_a_mistake_in_a_name_is_named(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        EngineName.parse("policy", name, {"b": 2})
    assert "\n" not in str(caught.value)


@given(st.one_of(st.text(), st.text(alphabet="vllm:?=&a1-", max_size=12)))
def test_any_text_is_a_name_or_an_error_of_one_line(name: str) -> None:
    try:
        parsed = EngineName.parse("policy", name, {})
    except InputError:
        assert "?" in name or name.endswith(":")
    else:
        assert name.startswith(parsed.backend)


def test_engines_get_the_options_of_their_names() -> None:
    embedder = load_embedder("lexical?dim=64")
    assert isinstance(embedder, LexicalEmbedder)
    assert embedder.dim == 64
    with pytest.raises(InputError, match="dim must be an integer of at least 2, got 'many'"):
        load_embedder("lexical?dim=many")
    for name in ("demo:x", "demo:x?dtype=float32", "vllm", "nothing?a=1"):
        with pytest.raises(ValueError, match="policy must be demo"):
            load_policy(name)
        with pytest.raises(ValueError, match="prm must be demo"):
            load_prm(name)


def test_the_bundled_pair_takes_options_in_its_name() -> None:
    policy = load_policy("demo?temperature=0.5&max_batch=3")
    assert isinstance(policy, BundledPolicy)
    assert policy.prompt.options.temperature == 0.5
    with pytest.raises(ValueError, match="colour"):
        load_policy("demo?colour=red")
    has = "it has device, max_batch$"  # not the constructor's own, which stands in the name
    with pytest.raises(InputError, match=f"of the embedder sentence-transformers; {has}"):
        load_embedder("sentence-transformers:x?colour=red")
