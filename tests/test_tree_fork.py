"""The child of a fork can use a tree, whatever other threads did with it at that moment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FORKS = 40
SCRIPT = """
import os, signal, sys, threading
import numpy as np
import ets

tree = ets.Tree(1)
wide = tree.extend(np.zeros(200_000, np.int64), np.ones(200_000, np.int64))
held = tree.held(wide[:1])
few = wide[:100].copy()
weights = np.ones(100)
stop = threading.Event()

def grow():
    while not stop.is_set():
        tree.extend(np.zeros(50, np.int64), np.ones(50, np.int64))
        held.add(wide)

def read():
    while not stop.is_set():
        tree.kv_tokens(wide)
        tree.parents
        tree.select(few, weights, lambda_b=0.0)

def use():
    assert tree.kv_tokens(few) == 101
    node = tree.add(0, 7)
    assert tree.path(node) == [0, node]
    assert held.add(np.array([node])) == 7
    assert len(tree.parents) == len(tree) == node + 1
    assert tree.select(few, weights, lambda_b=0.0).keep.all()

def fork():
    for _ in range(FORKS):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            code = 1
            try:
                use()
                code = 0
            finally:
                os._exit(code)
        ended.append(os.waitpid(pid, 0)[1])

ended = []
FORKS = int(sys.argv[1])
busy = [threading.Thread(target=work) for work in (grow, read)]
# Two that fork, so that one waits for the other's fork too.
forking = [threading.Thread(target=fork) for _ in range(2)]
for thread in busy + forking:
    thread.start()
for thread in forking:
    thread.join()
stop.set()
for thread in busy:
    thread.join()
use()
print(ended)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_each_child_uses_the_tree_that_other_threads_grow_and_read() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(FORKS)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([0] * 2 * FORKS)


THEIRS = """
os.register_at_fork(
    before=lambda: seen.append(len(tree[0])),
    after_in_parent=lambda: seen.append(tree[0].add(0, 1)),
    after_in_child=lambda: seen.append(len(tree[0])),
)
"""
HOOKS = """
import os
seen, tree = [], []
{before}
import ets
{after}
tree.append(ets.Tree(1))
pid = os.fork()
if pid == 0:
    os._exit(seen != [1, 1])
assert os.waitpid(pid, 0)[1] == 0
assert seen == [1, 1]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("registered", ["before", "after"])
def test_hooks_of_others_may_use_a_tree(registered: str) -> None:
    """Those registered before ours run while ours keep calls on trees waiting."""
    code = HOOKS.format(**{"before": "", "after": "", registered: THEIRS})
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
