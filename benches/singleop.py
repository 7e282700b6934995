"""SmolLM2-135M on word problems of one operation; goes on where it was stopped.

    python benches/singleop.py FOLDER SINGLEOP.jsonl

The file is `evaluation/data/mawps/singleop.jsonl` of QwenLM/Qwen2.5-Math. The first 100 problems
are searched, with width 16, twice: with the same model as a judge of its steps, and with a PRM head
on it, trained on its solutions of 300 other problems (`benches/prm_head.py`). All through vLLM. The
strategies share a bank, since an engine that batches does not give one sample twice. At the end:
how well each PRM tells right solutions from wrong ones (the AUROC of its rewards at one step of one
problem, over the independent samples), and what ETS had to choose from. Run it in the repository's
root: the models' names are relative to it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from ets.bench.run_folder import RunFolder
from prm_head import auroc_within
from smollm2 import CACHE, PRM_CACHE, smollm2_checkpoint, smollm2_prm

ROOT = Path(__file__).resolve().parents[1]

TESTED, TRAINED_ON = 100, 300
TRAINED = CACHE.with_name("smollm2-135m-singleop-prm")
STRATEGIES = "best-of-n,beam,dvts,rebase,ets-kv,ets"
ON_VLLM = ["--prm-option", "dtype=bfloat16", "--prm-option", "max_model_len=1024"]


def main() -> None:
    """Make one run after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("problems", type=Path)
    given = parser.parse_args()
    if not given.problems.exists():
        parser.error(
            f"problems: there is no {given.problems}; it is evaluation/data/mawps/singleop.jsonl "
            "of QwenLM/Qwen2.5-Math: make results SINGLEOP=FILE"
        )
    smollm2_checkpoint()
    data = ["--dataset", str(given.problems)]
    judge = f"vllm:{CACHE.relative_to(ROOT)}"
    search(given.folder, "judge", data, ["--prm", judge, "--prm-option", "format=judge", *ON_VLLM])
    if not TRAINED.exists():
        wanted = ["--skip", str(TESTED), "--problems", str(TRAINED_ON), "--strategies", "best-of-n"]
        run(given.folder, "collect", [*data, *wanted, "--prm", "none"])
        smollm2_prm()
        command = [ROOT / "benches" / "prm_head.py", given.folder / "smollm2-collect"]
        subprocess.run([sys.executable, *command, PRM_CACHE, TRAINED], check=True)
    prm = f"vllm:{TRAINED.relative_to(ROOT)}"
    search(given.folder, "head", data, ["--prm", prm, *ON_VLLM])


def search(folder: Path, name: str, data: list[str], prm: list[str]) -> None:
    """The searches with one PRM."""
    bank = str(folder / "smollm2.sqlite")
    wanted = ["--problems", str(TESTED), "--strategies", STRATEGIES, "--bank", bank]
    run(folder, name, [*data, *wanted, *prm])
    found = RunFolder(folder / f"smollm2-{name}")
    print(
        f"smollm2-{name}: AUROC {quality(found):.3f}; a selection of ETS: {shape(found)}",
        flush=True,
    )


def quality(run: RunFolder) -> float:
    """The AUROC of the PRM's rewards within problem and step, by how the solutions ended."""
    steps = []
    for row in run.rows():
        tree = run.tree(row) if row["cell"].startswith("best-of-n") else None
        if tree is not None:
            for done, hit in zip(tree.trajectories, row["hits"], strict=True):
                rewards = enumerate(done.rewards)
                steps += [((row["id"], number), reward, hit) for number, reward in rewards]
    return auroc_within(steps)


def shape(run: RunFolder) -> str:
    """Means over the selections of ETS behind the first."""
    sums: Counter[str] = Counter()
    for row in run.rows():
        tree = run.tree(row) if row["cell"].startswith("ets width") else None
        if tree is None:
            continue
        for step in list(tree.kv)[1:]:
            fates = tree.nodes.fate
            level = [v for v in tree.nodes.levels[step.depth] if fates[v] in ("kept", "pruned")]
            if level:
                sums["selections"] += 1
                sums["candidates"] += len(level)
                sums["clusters"] += len({tree.nodes.cluster[v] for v in level})
                sums["kept"] += sum(fates[v] == "kept" for v in level)
    n = sums.pop("selections")
    return ", ".join(f"{count / n:.1f} {name}" for name, count in sums.items())


def run(folder: Path, name: str, options: list[str]) -> None:
    """One `ets bench`."""
    print(f"== smollm2-{name}", flush=True)
    config = ["--config", str(ROOT / "benches" / "singleop.toml")]
    command = [sys.executable, "-m", "ets", "bench", str(folder / f"smollm2-{name}")]
    subprocess.run([*command, *config, *options], check=True)


if __name__ == "__main__":
    main()
