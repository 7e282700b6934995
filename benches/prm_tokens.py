"""What it costs to tokenise what PRMs read: in all, and as stops of the event loop.

A solution of 64 steps of some 100 tokens is scored step by step, then 64 of them that differ in
their last step at once, on the real vocabularies that `tests/vocabularies.py` makes:

    python benches/prm_tokens.py
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ets.prm.formats import PRMFormat, load_format
from test_prm_vocabularies import KINDS, prefix

STEPS, WIDTH = 64, 64
STEP = (
    "Tom has 3 apples and Ann buys 14 pears, so that 3 + 14 = 17 of them are in the basket; we "
    "know from before that half of them, $\\frac{17}{2}$, can't be eaten.\nSo \\(x^2 + 3x - 17 = "
    "0\\) holds, and therefore $x = \\frac{-3 \\pm \\sqrt{9 + 68}}{2}$ is what remains to be seen "
)


def load(kind: str, folder: Path) -> PRMFormat:
    """The format over its real tokenizer and a config; there are no weights."""
    path, architecture, model_type = KINDS[kind]
    shutil.copytree(path(), folder)
    shape = {"max_position_embeddings": 1 << 16}
    config = {"model_type": model_type, "architectures": [architecture], **shape}
    (folder / "config.json").write_text(json.dumps(config))
    if kind == "skywork":
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"bos_token": "<|endoftext|>"}))
    return load_format(str(folder), kind, {})


async def measured(*calls: Awaitable[object]) -> str:
    """How long the calls take, and the longest stop of the loop meanwhile.

    They begin in one turn of the loop, as those of a step do.
    """
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - begin)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    begin = time.perf_counter()
    for call in [asyncio.ensure_future(call) for call in calls]:
        await call
    took = time.perf_counter() - begin
    await asyncio.sleep(0)
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating
    return f"{took * 1e3:6.0f} ms, longest stop {longest * 1e3:5.1f} ms"


async def main() -> None:
    """Print a line a format."""
    steps = [f"{STEP}({k}).\n\n" for k in range(STEPS)]
    wide = [prefix("What?", [*steps[:-1], f"{k} {STEP}"]) for k in range(WIDTH)]

    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            form = load(kind, Path(folder) / "prm")
            form.parts(prefix("1?", ["1."]))

            one = await measured(
                *(form.read(prefix("What?", steps[: n + 1])) for n in range(STEPS))
            )
            many = await measured(*map(form.read, wide))
            print(f"{kind:14} one by one {one}; {WIDTH} at once {many}", flush=True)


asyncio.run(main())
