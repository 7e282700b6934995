"""The bundled pair: a tiny policy and a small PRM for arithmetic word problems.

The functions here only say where the files are; nothing in this module imports torch.
`docs/demo-models.md` is the model card, `ets.demo.training.train` the recipe that made both models.
"""

import json
from pathlib import Path
from typing import Any

__all__ = ["policy_path", "prm_path", "problems"]

_HERE = Path(__file__).parent


def policy_path() -> Path:
    """Return the folder of the bundled policy, a `LlamaForCausalLM` checkpoint."""
    return _HERE / "policy"


def prm_path() -> Path:
    """Return the folder of the bundled PRM, a `Qwen2ForProcessRewardModel` checkpoint."""
    return _HERE / "prm"


def problems() -> list[dict[str, Any]]:
    """Return the 500 test problems: `id`, `problem`, `answer`, `steps` (as many of each length)."""
    with (_HERE / "test.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
