"""What an engine's log says of its start: lines as vLLM 0.32 writes them, and a real engine."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ets import demo
from ets.engines.vllm.files import EngineFiles
from ets.engines.vllm.start_phases import StartPhases

ON_A_GPU = """\
(EngineCore pid=71) INFO 11-28 05:40:11 [core.py:134] Initializing a V1 LLM engine (v0.32.0) with \
config: model='m', speculative_config=None
(EngineCore pid=71) INFO 11-28 05:40:15 [gpu_model_runner.py:5039] Starting to load model m...
(EngineCore pid=71) INFO 11-28 05:40:15 [weight_utils.py:532] Time spent downloading weights for \
org/m: 41.512345 seconds
(EngineCore pid=71) INFO 11-28 05:40:27 [default_loader.py:501] Loading weights took 12.25 seconds
(EngineCore pid=71) INFO 11-28 05:40:28 [gpu_model_runner.py:5149] Model loading took 14.25 GiB \
memory and 13.101010 seconds
(EngineCore pid=71) INFO 11-28 05:40:29 [monitor.py:40] Starting torch.compile
(EngineCore pid=71) INFO 11-28 05:40:36 [backends.py:1166] Dynamo bytecode transform time: 6.50 s
(EngineCore pid=71) INFO 11-28 05:40:58 [backends.py:398] Compiling a graph for compile range \
(1, 8192) takes 20.10 s
(EngineCore pid=71) INFO 11-28 05:41:00 [monitor.py:64] torch.compile took 31.40 s in total
(EngineCore pid=71) INFO 11-28 05:41:01 [gpu_worker.py:759] Available KV cache memory: 50.1 GiB
(EngineCore pid=71) INFO 11-28 05:41:01 [kv_cache_utils.py:2327] GPU KV cache size: 937,744 \
tokens, Maximum concurrency for 4,096 tokens per request: 228.94x
\rCapturing CUDA graphs (mixed prefill-decode, PIECEWISE):   2%|2         | 1/51 [00:00<00:05]\
\rCapturing CUDA graphs (mixed prefill-decode, PIECEWISE): 100%|##########| 51/51 [00:05<00:00]
(EngineCore pid=71) INFO 11-28 05:41:07 [gpu_model_runner.py:6581] Graph capturing finished in 6 \
secs, took 0.62 GiB
(EngineCore pid=71) INFO 11-28 05:41:07 [core.py:395] init engine (profile, create kv cache, \
warmup model) took 41.40 s (compilation: 31.40 s)
"""


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ets.vllm"]


def test_a_start_on_a_gpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "engine.log"
    with caplog.at_level(logging.INFO, logger="ets"), StartPhases("m", log) as phases:
        log.write_text(ON_A_GPU)
    with caplog.at_level(logging.INFO, logger="ets"):
        phases.started(937_744)
    said = messages(caplog)
    clocked = r"\d+(\.\d)? s"
    assert re.fullmatch(f"vllm:m: processes {clocked}", said.pop(1))
    assert re.fullmatch(
        rf"vllm:m started in {clocked}: processes {clocked}, download 42 s, loading weights 12 s, "
        r"compiling 31 s, CUDA graphs 6\.0 s, KV cache 4\.0 s, 937,744 KV tokens",
        said.pop(),
    )
    assert said == [
        "vllm:m: starting its processes",
        "vllm:m: loading the model",
        "vllm:m: download 42 s",
        "vllm:m: loading weights 12 s",
        "vllm:m: compiling",
        "vllm:m: compiling 31 s",
        "vllm:m: making room for the KV cache",
        "vllm:m: capturing CUDA graphs",
        "vllm:m: CUDA graphs 6.0 s",
        "vllm:m: KV cache 4.0 s",
    ]


def test_the_slowest_process_counts_and_the_first_is_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    phases = StartPhases("m", None)
    with caplog.at_level(logging.INFO, logger="ets"):
        for process, seconds in ((1, "2.00"), (2, "3.50"), (1, "1.00"), (2, "0.25")):
            phases.line(
                f"(Worker_TP{process} pid={process}) INFO 11-28 05:40:27 [default_loader.py:501] "
                f"Loading weights took {seconds} seconds"
            )
    assert phases.seconds == {"loading weights": 3.75}
    assert messages(caplog) == ["vllm:m: loading weights 2.0 s"]


@given(st.lists(st.text()), st.integers(0, 3))
def test_other_lines_say_nothing(lines: list[str], part: int) -> None:
    """Neither unknown lines nor the beginnings of known ones."""
    phases = StartPhases("m", None)
    known = [line[: len(line) * part // 8] for line in ON_A_GPU.split("\n") if "took" in line]
    for line in [*lines, *known]:
        phases.line(line)
    assert phases.seconds == {}


@given(cuts=st.lists(st.integers(0, len(ON_A_GPU)), max_size=8))
def test_a_log_may_be_read_at_any_moment(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    log = tmp_path_factory.mktemp("log") / "engine.log"
    phases = StartPhases("m", log)
    data = ON_A_GPU.encode()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        with log.open("ab") as file:
            file.write(data[begin:end])
        phases._read_on()
    found = phases.seconds
    found.pop("processes")
    assert {phase: round(took, 2) for phase, took in found.items()} == {
        "download": 41.51,
        "loading weights": 12.25,
        "compiling": 31.4,
        "CUDA graphs": 6.0,
        "KV cache": 4.0,
    }


def test_an_engine_without_a_log_has_no_phases(caplog: pytest.LogCaptureFixture) -> None:
    threads = threading.active_count()
    with caplog.at_level(logging.INFO, logger="ets"), StartPhases("m", None) as phases:
        pass
    with caplog.at_level(logging.INFO, logger="ets"):
        phases.started(None)
    assert threading.active_count() == threads
    assert re.fullmatch(r"vllm:m started in \d+\.\d s", messages(caplog)[-1])


def test_last_words_amid_information() -> None:
    files = EngineFiles()
    assert files.log is not None
    files.log.write_text(
        ON_A_GPU
        + "(EngineCore pid=71) ERROR 11-28 05:41:08 [core.py:906] ValueError: no room\n"
        + "(EngineCore pid=71) INFO 11-28 05:41:09 [core.py:1667] [shutdown] EngineCore: done\n"
        + "(EngineCore pid=71) INFO 11-28 05:41:09 [x.py:1] handled KeyError: 'not the reason'\n"
    )
    assert files.last_words().startswith(": ValueError: no room; its log is ")
    files.remove()


def test_what_is_not_here_is_downloaded(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ets"):
        StartPhases("m", None, downloads=True).line("INFO [x.py:1] Starting to load model m...")
    assert messages(caplog) == ["vllm:m: downloading and loading the model"]


@pytest.mark.rare
@pytest.mark.vllm
def test_a_command_says_phases_and_nothing_else() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ets", "solve", "--json", "--prm", "none"),
            *("--width", "4", "--policy", f"vllm:{demo.policy_path()}"),
            "Mia has 20 marbles. Eva has 2 more marbles than Mia. How many marbles has Eva now?",
        ],
        capture_output=True,
        text=True,
        timeout=1400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    lines = done.stderr.splitlines()
    assert [line for line in lines if not re.match(r"\[\d+ s\] vllm:", line)] == []
    of_engine = [line.partition(f"vllm:{demo.policy_path()}")[2] for line in lines]
    assert of_engine[:2] == [": importing vLLM", ": starting its processes"]
    assert re.fullmatch(
        r" started in [\d.]+ s: processes [\d.]+ s, loading weights [\d.]+ s, "
        r"KV cache [\d.]+ s, [\d,]+ KV tokens",
        of_engine[-1],
    ), lines
