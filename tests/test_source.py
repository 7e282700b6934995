"""Which files of a checkpoint are read: revisions, other tokenizers, caches, code of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from checkpoints import make_llama_policy, make_qwen2_prm, make_tokenizer
from ets.checkpoint.source import SOURCE_OPTIONS, Source
from ets.checkpoint.tokenizer import end_ids, load_config, load_tokenizer
from ets.errors import EngineError, InputError
from ets.memory import model_size, needs_of
from ets.policy.prompt import PolicyPrompt
from ets.policy.transformers import TransformersPolicy
from ets.prm.checkpoint import Checkpoint
from ets.prm.transformers import TransformersPRM
from hub_cache import make_cache

POLICY, PRM = "someone/policy", "someone/prm"
TEXT = " Tom has 3 apples"


def exchange(folder: Path) -> None:
    """Give two words of a tokenizer each other's ids."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocab = content["model"]["vocab"]
    vocab[" Tom"], vocab[" apples"] = vocab[" apples"], vocab[" Tom"]
    path.write_text(json.dumps(content))


def ids(tokenizer: Any) -> list[int]:
    return list(tokenizer.encode(TEXT, add_special_tokens=False))


class Made(NamedTuple):
    """Two revisions of a policy and of a PRM: as folders, and in one cache."""

    folders: dict[tuple[str, str], Path]
    cache: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    base = tmp_path_factory.mktemp("revisions")
    folders: dict[tuple[str, str], Path] = {}
    for name, make in ((POLICY, make_llama_policy), (PRM, make_qwen2_prm)):
        for seed, (revision, context) in enumerate((("main", 512), ("v2", 256))):
            folder = base / name / revision
            folder.mkdir(parents=True)
            folders[name, revision] = make(folder, seed=seed, context=context)
            (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": seed + 1}))
        exchange(folders[name, "v2"])
    cache = base / "cache"
    for name in (POLICY, PRM):
        revisions = {revision: path for (n, revision), path in folders.items() if n == name}
        make_cache(cache, name, revisions)
    return Made(folders, cache)


@pytest.fixture(params=["usual", "download_dir"])
def where(
    request: pytest.FixtureRequest, made: Made, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The options that go with the cache, which is the usual one or another folder."""
    if request.param == "download_dir":
        return {"download_dir": str(made.cache)}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(made.cache))
    return {}


@pytest.mark.parametrize("revision", [None, "main", "v2"])
def test_a_revision_counts_for_every_file(
    made: Made, where: dict[str, Any], revision: str | None
) -> None:
    options = where | ({} if revision is None else {"revision": revision})
    actual = Source.of(POLICY, options)
    folder = made.folders[POLICY, revision or "main"]
    theirs = load_tokenizer(str(folder))
    assert load_config(actual).max_position_embeddings == (256 if revision == "v2" else 512)
    assert ids(load_tokenizer(actual)) == ids(theirs)
    config = load_config(actual)
    assert end_ids(actual, theirs, config) == end_ids(str(folder), theirs, config)
    prompt = PolicyPrompt.load(actual)
    assert prompt.max_length == config.max_position_embeddings
    size = model_size(actual, writes=True)
    assert size.context == config.max_position_embeddings
    need = needs_of("policy", f"vllm:{POLICY}", options, gpu_bytes=1 << 34, max_tokens=64)
    assert need is not None
    assert need.weight_bytes == size.weight_bytes

    prm = Checkpoint(Source.of(PRM, options))
    same = Checkpoint(str(made.folders[PRM, revision or "main"]))
    assert prm.max_length == same.max_length
    assert ids(prm.tokenizer) == ids(same.tokenizer)
    assert torch.equal(prm.weights.tensor("score.2.weight"), same.weights.tensor("score.2.weight"))
    assert set(prm.weights.files) == set(same.weights.files)


def test_the_two_revisions_differ(made: Made) -> None:
    old, new = (made.folders[POLICY, revision] for revision in ("main", "v2"))
    assert ids(load_tokenizer(str(old))) != ids(load_tokenizer(str(new)))
    old, new = (made.folders[PRM, revision] for revision in ("main", "v2"))
    weights = [Checkpoint(str(path)).weights.tensor("score.2.weight") for path in (old, new)]
    assert not torch.equal(*weights)


def test_engines_in_this_process_take_a_revision(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(made.cache))

    async def step_and_score(policy_path: str, prm_path: str, **options: Any) -> Any:
        policy = TransformersPolicy(policy_path, device="cpu", **options)
        prm = TransformersPRM(prm_path, device="cpu", **options)
        try:
            root = policy.start("How many apples does Tom have?")
            step = await policy.sample(root, seed=3, max_tokens=8)
            return root, step, await prm.score(root.extend(step))
        finally:
            await policy.aclose()
            await prm.aclose()

    for revision in ("main", "v2"):
        folders = (str(made.folders[name, revision]) for name in (POLICY, PRM))
        by_name = asyncio.run(step_and_score(POLICY, PRM, revision=revision))
        assert by_name == asyncio.run(step_and_score(*folders))


def test_an_unknown_revision_is_one_line(made: Made, where: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="at revision 'v3'") as caught:
        load_config(Source.of(POLICY, where | {"revision": "v3"}))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_checkpoint_is_taken(made: Made, tmp_path: Path) -> None:
    model, other = made.folders[POLICY, "main"], made.folders[POLICY, "v2"]
    source = Source.of(str(model), {"tokenizer": other})
    assert ids(load_tokenizer(source)) == ids(load_tokenizer(str(other)))
    assert load_config(source).max_position_embeddings == 512
    assert ids(PolicyPrompt.load(source).tokenizer) == ids(load_tokenizer(str(other)))
    assert ids(Checkpoint(source).tokenizer) == ids(load_tokenizer(str(other)))
    bare = tmp_path / "bare"  # a checkpoint without one
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("tokenizer*", "chat_template*"))
    with pytest.raises(EngineError, match="no usable tokenizer"):
        load_tokenizer(str(bare))
    assert ids(load_tokenizer(Source(str(bare), tokenizer=str(other)))) == ids(
        load_tokenizer(str(other))
    )


def test_a_tokenizer_has_a_revision_of_its_own(made: Made, where: dict[str, Any]) -> None:
    options = where | {"tokenizer": PRM, "tokenizer_revision": "v2"}
    theirs = load_tokenizer(str(made.folders[PRM, "v2"]))
    assert ids(load_tokenizer(Source.of(POLICY, options))) == ids(theirs)
    assert load_config(Source.of(POLICY, options)).max_position_embeddings == 512
    follows = where | {"tokenizer": PRM, "revision": "v2"}  # as in vLLM
    assert ids(load_tokenizer(Source.of(POLICY, follows))) == ids(theirs)


def test_what_download_dir_lacks_is_read_in_the_usual_cache(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(made.cache))
    weights = tmp_path / "weights"  # as vLLM leaves it: weights only
    shutil.copytree(
        made.folders[PRM, "v2"],
        weights,
        ignore=lambda _, names: [name for name in names if "safetensors" not in name],
    )
    source = Source(PRM, download_dir=str(make_cache(tmp_path / "own", PRM, {"main": weights})))
    read = Checkpoint(source)
    assert read.config.max_position_embeddings == 512
    theirs = Checkpoint(str(made.folders[PRM, "v2"]))
    assert torch.equal(
        read.weights.tensor("score.2.weight"), theirs.weights.tensor("score.2.weight")
    )
    assert source.folder() is None


MARK = "code-has-run"
CONFIG = f'''
from pathlib import Path
from transformers import LlamaConfig

Path(__file__).with_name("{MARK}").touch()

class OwnConfig(LlamaConfig):
    model_type = "own-kind"
'''
MODEL = """
from transformers import LlamaForCausalLM
from .configuration_own import OwnConfig

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy whose config and model are classes of its own."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    folder = tmp_path / "own"
    folder.mkdir()
    make_llama_policy(folder)
    (folder / "configuration_own.py").write_text(CONFIG)
    (folder / "modeling_own.py").write_text(MODEL)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {
        "model_type": "own-kind",
        "architectures": ["OwnModel"],
        "auto_map": {
            "AutoConfig": "configuration_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnModel",
        },
    }
    path.write_text(json.dumps(config))
    return folder


def ran(folder: Path) -> bool:
    return any(folder.parent.rglob(MARK))


def test_code_of_a_checkpoint_runs_only_when_trusted(own_code: Path) -> None:
    for load in (load_config, PolicyPrompt.load, TransformersPolicy):
        with pytest.raises(EngineError, match="give trust_remote_code=true") as caught:
            load(str(own_code))
        assert "\n" not in str(caught.value)
    with pytest.raises(EngineError, match="trust_remote_code"):
        model_size(str(own_code), writes=True)
    assert not ran(own_code)
    trusted = Source.of(str(own_code), {"trust_remote_code": True})
    assert load_config(trusted).model_type == "own-kind"
    assert ran(own_code)
    assert PolicyPrompt.load(trusted).max_length == 512
    assert model_size(trusted, writes=True).hidden == 64
    policy = TransformersPolicy(own_code, device="cpu", trust_remote_code=True)

    async def one_step() -> Any:
        try:
            return await policy.sample(policy.start("How many?"), seed=1, max_tokens=4)
        finally:
            await policy.aclose()

    assert asyncio.run(one_step()).token_ids


def test_code_that_is_trusted_and_wrong_is_one_line(own_code: Path) -> None:
    (own_code / "configuration_own.py").write_text("this is no Python")
    with pytest.raises(EngineError) as caught:
        load_config(Source(str(own_code), trust_remote_code=True))
    assert "\n" not in str(caught.value)


def test_code_of_a_tokenizer_runs_only_when_trusted(tmp_path: Path) -> None:
    make_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    path = tmp_path / "tokenizer_config.json"
    own = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    (tmp_path / "own.py").write_text("raise RuntimeError('it ran')")
    with pytest.raises(EngineError, match=r"the tokenizer of .* give trust_remote_code=true"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"revision": 5}, "revision must be a text, got 5"),
        ({"tokenizer": ""}, "tokenizer must be a text, got ''"),
        ({"download_dir": ["x"]}, r"download_dir must be a text, got \['x'\]"),
        ({"trust_remote_code": "yes"}, "trust_remote_code must be true or false, got 'yes'"),
        ({"trust_remote_code": 1}, "trust_remote_code must be true or false, got 1"),
    ],
)
def test_options_of_the_wrong_type(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Source.of("x", options)


def test_an_embedder_reads_what_its_policy_reads() -> None:
    from ets.policy.vllm import _ALSO_FOR_EMBEDDING

    assert {"device_ids", *SOURCE_OPTIONS} <= set(_ALSO_FOR_EMBEDDING)


@pytest.mark.vllm
@pytest.mark.parametrize("revision", ["main", "v2"])
def test_vllm_is_configured_of_the_same_revision(
    made: Made, where: dict[str, Any], revision: str
) -> None:
    from ets.engines.vllm.options import configure, on_cpu

    config = configure(POLICY, where | {"revision": revision}, cpu=on_cpu())
    assert config.model_config.max_model_len == (256 if revision == "v2" else 512)
    tokenizer = load_tokenizer(config.model_config.tokenizer)
    assert ids(tokenizer) == ids(load_tokenizer(str(made.folders[POLICY, revision])))


@pytest.mark.vllm
def test_vllm_refuses_code_that_is_not_trusted(own_code: Path) -> None:
    from ets.policy.vllm import VLLMPolicy

    with pytest.raises(EngineError, match="give trust_remote_code=true"):
        VLLMPolicy(own_code)
    assert not ran(own_code)


@pytest.mark.rare
@pytest.mark.vllm
def test_engines_of_vllm_take_a_revision(made: Made) -> None:
    from ets.policy.vllm import VLLMPolicy
    from ets.prm.vllm import VLLMPRM

    options: dict[str, Any] = {"revision": "v2", "download_dir": str(made.cache)}
    folders = {name: str(made.folders[name, "v2"]) for name in (POLICY, PRM)}

    async def step_and_score(policy: Any, prm: Any) -> tuple[tuple[int, ...], float]:
        try:
            root = policy.start("How many apples does Tom have?")
            step = await policy.sample(root, seed=3, max_tokens=8)
            return step.token_ids, (await prm.score(root.extend(step))).reward
        finally:
            await policy.aclose()
            await prm.aclose()

    ours = TransformersPolicy(folders[POLICY], device="cpu", temperature=0.0)
    expected = asyncio.run(step_and_score(ours, TransformersPRM(folders[PRM], device="cpu")))
    policy = VLLMPolicy(POLICY, temperature=0.0, **options)
    found = asyncio.run(step_and_score(policy, VLLMPRM(PRM, **options)))
    assert found[0] == expected[0]
    assert found[1] == pytest.approx(expected[1], abs=1e-4)
