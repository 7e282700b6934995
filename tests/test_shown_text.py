"""What a terminal is told by others' text: nothing."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import Progress, TextColumn
from rich.spinner import Spinner
from rich.table import Table

from ets.answer import Vote
from ets.bench.grid import Grid
from ets.cli.bench.run import print_table
from ets.cli.doctor import print_report
from ets.cli.live import LiveView, steps_table
from ets.cli.main import _run
from ets.cli.output import Output
from ets.cli.shown_console import ShownConsole, shown_rich
from ets.cli.shown_console import ShownText as Text
from ets.cli.shown_stream import ShownStream
from ets.cli.summary import mark, print_notes, print_votes
from ets.cli.watch import Row, Watch
from ets.doctor.report import Piece, Report, Shown
from ets.engines.name import EngineName
from ets.memory import Engine
from ets.shown.log import Log
from ets.shown.text import shown_json, shown_line, shown_text

CONTROLS = [chr(n) for n in (*range(32), *range(0x7F, 0xA0)) if chr(n) not in "\n\t"]
TURNS = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
HOSTILE = [
    *("\x1b]52;c;aGk=\x07", "\x1b[2J", "\x9b2J", "\x9d0;title\x9c", "\x1bPq\x1b\\", "\r", "\b\b"),
    *("[red]", "[/]", "[/bold]", "[link=http://x]y[/link]", ":heart:", "\x7f", "\udcff"),
    *CONTROLS,
    *TURNS,
]
ORDINARY = [
    "What is $\\frac{1}{2} + \\boxed{3}$? \\[x\\] [a, b] [1] \\x41",
    "Größe, 中文, עברית, العربية, 👩‍👩‍👧, e\u0301, ½ ≤ √2 → ∞\u00a0!",
    ":heart: [red] [/] [bold]x[/bold]",
]
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
STYLES = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[12]?[AKG]|\r")
"""What `rich` itself writes: colours, the cursor hidden and moved up, a line cleared."""
hostile = st.lists(st.sampled_from([*HOSTILE, "4", "x y", "\n", "\t"]), min_size=1).map("".join)


def printed_by_all(text: str, *, terminal: bool) -> str:
    """What every way to print that the commands have makes of a text."""
    file = io.StringIO()
    console = ShownConsole(file)
    console._force_terminal = terminal
    console.legacy_windows = False
    console.print(text)
    console.print(text, style="red", markup=False, soft_wrap=True)
    console.print(Text(text, "dim"), Text.assemble(("a", "bold"), (text, "red")), soft_wrap=True)
    console.rule(text)
    console.rule(Text.assemble(("policy", "bold"), " ", text))
    table = Table(text, title=text)
    table.add_row(text)
    table.add_row(Text(text))
    console.print(table, Group(text, Panel(text)), Spinner("dots", text=Text(text)))
    print_votes(console, [Vote(text, 0.5, 2), Vote("4", 0.25, 1)])
    print_notes(console, [text, None])
    console.print(steps_table([Row(1, 2, 3, 4, 5, 6, text, 0.5)]), mark(True))
    watch = Watch(4)
    watch.rows.append(Row(1, 2, 3, 4, 5, 6, text, 0.5))
    view = LiveView(text, text, watch, 30)
    with Live(view, console=console, auto_refresh=False) as live:
        live.refresh()
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[right]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        progress.add_task(shown_text(text), right=shown_text(text))
        progress.refresh()
    report = Report("policy", text, {text: text}, [Shown(text, (Piece((1,), text, 0.5),))])
    report.find("bad", text, text)
    print_report(report, console)
    return file.getvalue()


PRINTED = printed_by_all("x", terminal=False).count("x")
"""How often they print it."""


def output_to(file: io.StringIO) -> Output:
    return Output(file, as_json=False)


@settings(deadline=None, max_examples=60)
@given(hostile)
def test_no_control_character_reaches_the_output(text: str) -> None:
    assert not FORBIDDEN.search(printed_by_all(text, terminal=False))
    styled = STYLES.sub("", printed_by_all(text, terminal=True))
    assert not FORBIDDEN.search(styled)


@pytest.mark.parametrize("sign", [*CONTROLS, *TURNS, "\u2028", "\ud800"])
def test_each_control_character_is_shown_by_its_code(sign: str) -> None:
    code = f"a\\x{ord(sign):02x}b" if ord(sign) < 256 else f"a\\u{ord(sign):04x}b"
    assert shown_text(f"a{sign}b") == code
    file = io.StringIO()
    ShownConsole(file).print(f"a{sign}b")
    assert file.getvalue() == code + "\n"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("sign", [*CONTROLS, *TURNS])
def test_every_way_of_printing_shows_each_control_character(sign: str, terminal: bool) -> None:
    """None is dropped, as `rich` drops some: what is shown is what was written."""
    code = f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{ord(sign):04x}"
    if not sign.isspace() or sign == "\x85":
        shown = STYLES.sub("", printed_by_all(f"x{sign}", terminal=terminal))
        assert shown.count(f"x{code}") >= PRINTED - 4


@settings(deadline=None, max_examples=60)
@given(hostile)
def test_json_says_the_same_without_them(text: str) -> None:
    file = io.StringIO()
    output_to(file).json({"answer": text})
    assert json.loads(file.getvalue()) == {"answer": text}
    assert not FORBIDDEN.search(file.getvalue())
    assert file.getvalue().count("\n") == 1


@settings(deadline=None, max_examples=60)
@given(hostile)
def test_tables_and_lines_of_others_words(text: str) -> None:
    file = io.StringIO()
    print_table([("strategy", "right"), (text, "1")], 1, output_to(file))
    assert not FORBIDDEN.search(file.getvalue())
    assert not FORBIDDEN.search(shown_line(text))
    assert "\n" not in shown_line(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_comes_through(text: str) -> None:
    assert shown_text(text) == text
    assert shown_json(json.dumps(text, ensure_ascii=False)) == json.dumps(text, ensure_ascii=False)
    file = io.StringIO()
    console = ShownConsole(file, soft_wrap=True)
    console.print(text)
    console.print(Text(text, "bold"))
    assert file.getvalue() == f"{text}\n{text}\n"


def test_newlines_and_tabs_stay() -> None:
    assert shown_text("a\r\nb\n\tc") == "a\nb\n\tc"


def test_styles_stay_at_their_words() -> None:
    shown = shown_rich(Text.assemble("a\x1b", ("b\x9b", "bold"), "c"))
    assert shown.plain == "a\\x1bb\\x9bc"
    assert [(span.start, span.end, span.style) for span in shown.spans] == [(5, 10, "bold")]


def test_errors_are_shown_and_keep_secrets(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever an error holds: control characters, line ends in a file's name, passwords."""
    name = "no\nsuch\x1b]0;t\x07\x9b2J\u202e"
    for debug in ([], ["--debug"]):
        assert _run(["solve", "What?", "--config", name, *debug]) == 2
        said = capfd.readouterr().err
        assert not FORBIDDEN.search(said)
        assert "\\x1b" in said
        assert debug or said.count("\n") == 1
    policy = "opnai:m@http://user:hunter2@h/v1?api_key=hunter2"
    for debug in ([], ["--debug"]):
        assert _run(["solve", "What?", "--policy", policy, *debug]) == 2
        said = capfd.readouterr().err
        assert "hunter2" not in said
        assert "opnai:m@http://***@h/v1?api_key=***" in said


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_command_leaves_the_environment_as_it_was(debug: list[str]) -> None:
    before = dict(os.environ)
    assert _run(["solve", "What?", "--config", "nowhere", *debug]) == 2
    assert dict(os.environ) == before


def written(*texts: str) -> str:
    file = io.StringIO()
    for text in texts:
        ShownStream(file).write(text)
    return file.getvalue()


@pytest.mark.parametrize("sign", [*CONTROLS, *TURNS])
def test_what_others_write_to_standard_error_is_shown(sign: str) -> None:
    assert written(f"a{sign}b\n") == shown_text(f"a{sign}b\n")
    assert not FORBIDDEN.search(written(f"a{sign}b\n"))


def test_bars_of_others_may_move_the_cursor() -> None:
    assert written("\r 10%", "\n\x1b[A", "\r\x1b[2J") == "\r 10%\n\x1b[A\r\\x1b[2J"
    stream = ShownStream(io.StringIO())
    assert not stream.isatty()
    assert stream.write("\x07") == 1
    stream.writelines(["a", "b"])
    assert stream.getvalue() == "\\x07ab"


NOISE = """
import logging, sys, threading, warnings
from ets.cli.main import _run
from ets.cli.setup import Setup
from ets.errors import EngineError
from ets.shown.log import Log

bad = "\\x1b]0;t\\x07\\x9b2J\\r api_key=hunter2 http://u:hunter2@h/v1"

def noise():
    Log("ets").warning("of ours: %s", bad)
    logging.getLogger("another").warning("a log line %s", bad)
    warnings.warn(f"a warning {bad}")
    print("said", bad)
    print("told", bad, file=sys.stderr)
    thread = threading.Thread(target=lambda: 1 / len(bad[:0]), name=f"a thread {bad}")
    thread.start()
    thread.join()
    try:
        raise ValueError(f"a cause {bad}")
    except ValueError as error:
        raise EngineError(f"failed {bad}") from error

Setup.open = lambda setup: noise()
sys.exit(_run(["solve", "What?", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_whatever_speaks_during_a_command(debug: list[str]) -> None:
    """Log lines, warnings, prints, traces of threads, causes of errors."""
    command = [sys.executable, "-c", NOISE, *debug]
    done = subprocess.run(command, capture_output=True, check=False)
    shown = (done.stdout + done.stderr).decode()
    assert done.returncode == 2
    assert "hunter2" not in shown
    assert not FORBIDDEN.search(shown)
    heard = ["of ours", "a log line", "a warning", "said", "told", "a thread", "failed"]
    for word in [*heard, *(["a cause"] if debug else [])]:
        assert word in shown


def test_records_of_the_log_are_lines_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ets"):
        Log("ets.test").info("%s answers", "http://u:hunter2@h/v1\n\x1b[2J")
        Log("ets.test").debug("not shown %s", "x")
    assert [record.getMessage() for record in caplog.records] == [
        "http://***@h/v1 \\x1b[2J answers"
    ]
    assert caplog.records[0].funcName == "test_records_of_the_log_are_lines_without_secrets"


@pytest.mark.parametrize(
    "record",
    [
        EngineName.parse("policy", "openai:m@http://u:hunter2@h/v1?api_key=hunter2", {}),
        Engine("openai:m@http://u:hunter2@h/v1", {"api_key": "hunter2"}),
        Grid(search={"policy": "demo", "policy_options": {"api_key": "hunter2"}}),
    ],
)
def test_no_repr_tells_a_secret(record: object) -> None:
    assert "hunter2" not in repr(record)
    assert "***" in repr(record)
    assert repr(record).startswith(f"{type(record).__name__}(")


def test_the_doctor_tells_none_in_json(capfd: pytest.CaptureFixture[str]) -> None:
    name = "openai:m@http://u:hunter2@127.0.0.1:9/v1?api_key=hunter2"
    arguments = ["--policy", name, "--policy-option", "patience=0.1", "--json"]
    assert _run(["doctor", *arguments, "--policy-option", "max_retries=0"]) == 1
    out, err = capfd.readouterr()
    assert "hunter2" not in out + err
    assert json.loads(out)["name"].startswith("openai:m@http://***@127")
