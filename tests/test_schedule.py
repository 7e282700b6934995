"""The order of the files, and the line on the slow tests that were left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import VLLMPair
from schedule import LONGEST, SHARING
from vllm_server import VLLMServer

TESTS = Path(__file__).parent


def test_the_files_of_the_schedule_are_there() -> None:
    files = {path.name for path in TESTS.glob("test_*.py")}
    assert files >= {*LONGEST, *SHARING}
    fixtures = (f"vllm_pair: {VLLMPair.__name__}", f"tiny_server: {VLLMServer.__name__}")
    texts = {file: (TESTS / file).read_text("utf-8") for file in files}
    sharing = {file for file, text in texts.items() if any(one in text for one in fixtures)}
    assert sharing == set(SHARING), "what uses shared engines runs where they are"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["--quick"], ["--usual", "-n", "2", "--dist", "loadfile"]], ids=" ".join
)
def test_a_run_says_what_it_left_out(options: list[str]) -> None:
    """A file of one rare test and a quick one, whatever the number of processes."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [*command, str(TESTS / "test_server_docs.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS.parent,
    )
    assert done.returncode == 0, done.stdout
    assert "\n1 slow tests did not run: `make test-all` runs them\n" in done.stdout
    assert "1 passed" in done.stdout
