"""Equal input gives the equal selection: in other threads, processes and under other hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stored_selections import Stored, make, stored_selections

STORED = stored_selections()


def test_the_stored_selections_are_the_ones_that_the_script_makes() -> None:
    assert make() == STORED
    assert len(STORED) >= 40
    assert sum(case.budget is not None for case in STORED) >= 5
    assert {case.costs for case in STORED} == {"uniform", "tokens"}


@pytest.mark.parametrize("case", STORED, ids=lambda case: f"{case.width}-{case.seed}")
def test_a_stored_selection_is_found_again(case: Stored) -> None:
    for _ in range(2):
        assert case.answered() == case
    assert case.select().optimal


def test_eight_threads_at_once_find_them() -> None:
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(Stored.answered, STORED * 8)) == STORED * 8


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295"])
def test_other_processes_find_them(hash_seed: str) -> None:
    program = (
        "from stored_selections import *\n"
        "for case in reversed(stored_selections()):\n"
        "    assert case.answered() == case, case\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    here = Path(__file__).parent
    subprocess.run([sys.executable, "-c", program], cwd=here, env=environment, check=True)
