"""A hub cache made of local folders, which are revisions of one checkpoint."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path


def make_cache(cache: Path, name: str, revisions: Mapping[str, Path]) -> Path:
    """Put folders into a cache as revisions of `name`; returns the cache's folder."""
    root = cache / f"models--{name.replace('/', '--')}"
    for revision, folder in revisions.items():
        commit = hashlib.sha1(revision.encode()).hexdigest()
        shutil.copytree(folder, root / "snapshots" / commit)
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / revision).write_text(commit)
    return cache
