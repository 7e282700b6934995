"""The bundled policy at the cost of a larger model: the same text, more work for each token.

    python benches/padded_policy.py TARGET [--intermediate 16384]

Its feed-forward layers are filled up with units of zero weights, which add nothing to what they
come to. So a throughput is measured with searches that are right as often as the bundled pair's, on
an engine whose time goes into tokens, not into handing them out.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ets import demo

SOURCE = Path(demo.__file__).parent / "policy"
UNITS_IN = ("gate_proj.weight", "up_proj.weight")
"""float[units, hidden]; in `down_proj.weight` units are the columns."""


def main() -> None:
    """Write it, and print how many parameters it has."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--intermediate", type=int, default=16_384, help="units of each layer")
    given = parser.parse_args()
    print(f"{pad(given.target, given.intermediate):,} parameters")


def pad(target: Path, units: int) -> int:
    """Write the padded checkpoint; how many parameters it has."""
    config = json.loads((SOURCE / "config.json").read_text("utf-8"))
    if units < config["intermediate_size"]:
        raise SystemExit(f"--intermediate {units}: the policy has {config['intermediate_size']}")
    shutil.copytree(SOURCE, target)
    config["intermediate_size"] = units
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    weights = {
        name: padded(name, weight, units)
        for name, weight in load_file(SOURCE / "model.safetensors").items()
    }
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return sum(weight.numel() for weight in weights.values())


def padded(name: str, weight: torch.Tensor, units: int) -> torch.Tensor:
    """A weight of a feed-forward layer with so many units, any other one as it is."""
    if name.endswith(UNITS_IN):
        return torch.nn.functional.pad(weight, (0, 0, 0, units - len(weight)))
    if name.endswith("down_proj.weight"):
        return torch.nn.functional.pad(weight, (0, units - weight.shape[1]))
    return weight


if __name__ == "__main__":
    main()
