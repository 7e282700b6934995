"""The sample bank: one answer for one question, on the disk, shared, bounded, hostile files."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ets.bench import bank_file
from ets.bench.bank import SampleBank, digest
from ets.errors import EngineError, InputError


def key(number: int) -> bytes:
    return digest(str(number).encode())


def test_the_first_answer_stays_and_outlives_the_process(tmp_path: Path) -> None:
    with SampleBank(tmp_path / "new" / "bank.sqlite") as bank:
        assert bank.get(key(1)) is None
        bank.put(key(1), {"text": "Zoë \ud800", "ids": [1, 2]})
        bank.put(key(1), "another")
        assert len(bank) == 1
    for read_only in (False, True):
        with SampleBank(tmp_path / "new" / "bank.sqlite", read_only=read_only) as bank:
            assert bank.get(key(1)) == {"text": "Zoë \ud800", "ids": [1, 2]}
            bank.put(key(2), read_only)
    with SampleBank(tmp_path / "new" / "bank.sqlite") as bank:
        assert bank.get(key(2)) is False


def test_what_is_no_bank(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no sample bank"):
        SampleBank(tmp_path / "absent.sqlite", read_only=True)
    assert not (tmp_path / "absent.sqlite").exists()
    (tmp_path / "thesis.tex").write_text("years of work " * 100)
    with pytest.raises(InputError, match="cannot be used as a sample bank"):
        SampleBank(tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work " * 100
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE mine (x)")
    with pytest.raises(InputError, match="is no sample bank of format 1"):
        SampleBank(tmp_path / "other.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be used as a sample bank"):
        SampleBank(tmp_path / "folder")


def other(path: Path, *statements: str) -> bytes:
    """Another program's database; its bytes."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["CREATE TABLE notes (x)"], "no sample bank of format 1"),
        (["CREATE TABLE notes (x)", "PRAGMA user_version = 1"], "no sample bank of format 1"),
        (["PRAGMA user_version = 1"], "no sample bank of format 1"),
        (["PRAGMA application_id = 7"], "no sample bank of format 1"),
        (["CREATE TABLE answers (key INTEGER PRIMARY KEY, answer TEXT)"], "no sample bank"),
        ([bank_file._TABLE, "CREATE TABLE more (x)"], "no sample bank of format 1"),
        ([bank_file._TABLE, "PRAGMA user_version = 2"], "a sample bank of format 2, not 1"),
        ([bank_file._TABLE, "PRAGMA application_id = 7"], "no sample bank of format 1"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_others_is_refused_as_it_was(
    tmp_path: Path, statements: list[str], words: str, read_only: bool
) -> None:
    before = other(tmp_path / "theirs.sqlite", *statements)
    with pytest.raises(InputError, match=words):
        SampleBank(tmp_path / "theirs.sqlite", read_only=read_only)
    assert (tmp_path / "theirs.sqlite").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["theirs.sqlite"]


def test_a_bank_of_another_format_is_refused_and_one_without_the_mark_is_not(
    tmp_path: Path,
) -> None:
    with SampleBank(tmp_path / "new.sqlite") as bank:
        bank.put(key(1), 1)
    before = other(tmp_path / "new.sqlite", "PRAGMA user_version = 2")
    with pytest.raises(InputError, match="is a sample bank of format 2, not 1"):
        SampleBank(tmp_path / "new.sqlite")
    assert (tmp_path / "new.sqlite").read_bytes() == before
    for version in (0, 1):  # an older version was killed while it made the first
        path = tmp_path / f"old-{version}.sqlite"
        other(path, bank_file._TABLE, f"PRAGMA user_version = {version}")
        with SampleBank(path) as bank:
            bank.put(key(1), "kept")
            assert bank.get(key(1)) == "kept"


@pytest.mark.parametrize("inside", ["file/bank", "/proc/x/bank", "folder"])
def test_a_path_that_cannot_be_is_told_in_words(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be used as a sample bank: "):
        SampleBank(tmp_path / inside)


def test_a_bank_survives_a_power_cut(tmp_path: Path) -> None:
    """By SQLite's own word: a write-ahead journal, synced before it is taken into the file."""
    with SampleBank(tmp_path / "bank.sqlite") as bank:
        settings = [
            bank._writer.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
    assert settings == ["wal", 1]


@pytest.mark.parametrize("answer", ["{", "[" * 100_000, '{"text"'])
def test_a_damaged_answer_is_an_engine_error(tmp_path: Path, answer: str) -> None:
    with SampleBank(tmp_path / "bank.sqlite") as bank:
        bank.put(key(1), "sound")
        other(tmp_path / "bank.sqlite", f"UPDATE answers SET answer = '{answer}'")
        with pytest.raises(EngineError, match="holds an answer that is none"):
            bank.get(key(1))


@pytest.mark.parametrize(("bound", "size"), [(200_000, 100_000), (50_000, 300), (1 << 20, 60_000)])
def test_answers_of_any_size_stay_within_the_bound(tmp_path: Path, bound: int, size: int) -> None:
    with SampleBank(tmp_path / "bank.sqlite", max_bytes=bound) as bank:
        for number in range(255):
            bank.put(key(number), "x" * size)
            assert size_of(tmp_path) <= bound
        assert bank.get(key(254)) is not None, "the newest is kept"
        bank.put(key(255), "x" * bound)
        assert bank.get(key(255)) is None
        assert bank.get(key(254)) is not None, "what is too large drives nothing out"


def test_a_smaller_bound_shrinks_a_bank(tmp_path: Path) -> None:
    with SampleBank(tmp_path / "bank.sqlite") as bank:
        for number in range(1000):
            bank.put(key(number), "x" * 1000)
    with SampleBank(tmp_path / "bank.sqlite", max_bytes=1 << 18) as bank:
        bank.put(key(1000), "x")
        assert 50 < len(bank) < 300, "the newest that fit are kept"
    assert size_of(tmp_path) <= 1 << 18


def test_another_writer_stops_neither_the_loop_nor_who_reads(tmp_path: Path) -> None:
    """The other one writes until a read and a beat of the loop have been: in whatever time."""
    path = tmp_path / "bank.sqlite"

    async def alone(bank: SampleBank) -> None:
        writes = asyncio.create_task(bank.keep(key(2), "two"))
        for _ in range(20):
            assert await bank.find(key(1)) == "one"
        assert not writes.done()
        writer.execute("COMMIT")
        await writes

    with (
        SampleBank(path) as bank,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer,
    ):
        bank.put(key(1), "one")
        writer.execute("BEGIN IMMEDIATE")
        asyncio.run(alone(bank))
        assert bank.get(key(2)) == "two"


def test_closing_gives_up_what_waits_for_another_writer(tmp_path: Path) -> None:
    path = tmp_path / "bank.sqlite"

    async def closed(bank: SampleBank) -> None:
        waits = asyncio.create_task(bank.keep(key(1), "one"))
        await asyncio.sleep(0.05)
        bank.close()
        with pytest.raises(EngineError, match="database is locked"):
            await waits

    bank = SampleBank(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        asyncio.run(closed(bank))


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if not file.name.endswith("-shm"))


def test_its_size_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    bound = 1 << 20
    with SampleBank(tmp_path / "bank.sqlite", max_bytes=bound) as bank:
        for number in range(4096):
            bank.put(key(number), "x" * 1000)
        kept = [bank.get(key(number)) is not None for number in range(4096)]
        assert size_of(tmp_path) <= bound
    assert 400 < sum(kept) < 1500
    assert kept == sorted(kept), "an older one is there and a newer one is not"


WRITER = """
import sys
from ets.bench import bank_file
from ets.bench.bank import SampleBank, digest
bank = SampleBank(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    key = digest(str(number).encode())
    bank.put(key, [number, "x" * 200])
    assert bank.get(key)[0] == number
print("done")
"""


def test_two_processes_at_once(tmp_path: Path) -> None:
    ranges = (("0", "2000"), ("1000", "3000"))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "bank.sqlite"), *span],
            stdout=subprocess.PIPE,
            text=True,
        )
        for span in ranges
    ]
    assert [writer.communicate(timeout=300)[0] for writer in writers] == ["done\n"] * 2
    with SampleBank(tmp_path / "bank.sqlite") as bank:
        assert len(bank) == 3000
        assert all(bank.get(key(number))[0] == number for number in range(3000))


def test_a_writer_that_is_killed_leaves_a_bank(tmp_path: Path) -> None:
    rng = random.Random(2)
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "bank.sqlite"), "0", "1000000"]
        ) as writer:
            while not (tmp_path / "bank.sqlite").exists():
                time.sleep(0.01)
            time.sleep(0.3 + rng.random() * 0.4)
            writer.send_signal(signal.SIGKILL)
        with SampleBank(tmp_path / "bank.sqlite") as bank:
            count = len(bank)
            assert all(bank.get(key(number))[0] == number for number in range(count))
    assert count > 100


def test_a_bank_that_breaks_is_an_engine_error(tmp_path: Path) -> None:
    bank = SampleBank(tmp_path / "bank.sqlite")
    bank.close()
    with pytest.raises(EngineError, match=r"the sample bank .* failed"):
        bank.get(key(1))
