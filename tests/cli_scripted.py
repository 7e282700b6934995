"""The command line over scripted engines, for tests of the command alone: a program to run.

With `--serve` it imports everything once and then forks a process for each command line that it
reads (a JSON object a line: arguments, and files for the three streams), answering its exit code.

The policy `slow` takes half a second a step, `stdout` prints where an engine must not, `broken`
fails, `child` starts a process of its own as a serving engine does, `lost` answers no more behind
the third step, `gone` never.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import ets.rollout.engines
from ets.cli.main import main
from ets.errors import EngineError, EngineLostError
from ets.step import Prefix, Step
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM


class Policy(ScriptedPolicy):
    """A scripted policy that misbehaves by name."""

    def __init__(self, kind: str) -> None:
        super().__init__(slow=False)
        self.kind = kind
        self.child = subprocess.Popen(["sleep", "600"]) if kind == "child" else None

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        if self.kind in ("slow", "child") and len(prefix.steps) >= 4:
            await asyncio.sleep(60)
        if self.kind == "stdout":
            subprocess.run(["echo", "an engine talks"], check=True)
        if self.kind == "broken":
            raise EngineError("the engine died\nof old age")
        if self.kind == "gone" or (self.kind == "lost" and len(prefix.steps) >= 3):
            raise EngineLostError("the server has gone")
        return await super().sample(prefix, seed=seed, max_tokens=max_tokens)

    async def aclose(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()


def load_policy(policy: str, **options: Any) -> Policy:
    return Policy(policy)


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if (pid := os.fork()) == 0:
            for descriptor, (name, mode) in enumerate(
                zip(request["files"], (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)
            ):
                os.dup2(os.open(name, mode), descriptor)
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as at a start
            sys.argv[1:] = request["arguments"]
            code = 70
            try:
                main()
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else 71
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    module: Any = ets.rollout.engines
    module.load_policy = load_policy
    module.load_prm = lambda prm, **options: ScriptedPRM()
    module.load_embedder = lambda embedder, **options: ScriptedEmbedder()
    sys.argv[0] = "ets"
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        main()
