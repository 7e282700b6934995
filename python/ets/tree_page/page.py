"""The tree of one search as an interactive page: one HTML file, no network."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from ets.answer import pool
from ets.answer.tally import Outcome
from ets.strategy import strategy_to_dict
from ets.tree_page.reasons import path_reward, verdicts
from ets.tree_page.searched import Searched

NOTEBOOK_HEIGHT = 640
"""Pixels of the frame in a notebook."""
_SCRIPTS = ("tree.js", "tree_controls.js", "tree_panel.js")
_PLACE = re.compile(r"\{\{(title|style|script|data|style_hash|script_hash)\}\}")


def tree_page(
    search: Searched, outcome: Outcome, *, problem: str = "", title: str | None = None
) -> str:
    """The page as HTML text. What models and users wrote is data in it, never markup.

    `title` is the page's, the problem's beginning unless given.
    """
    words = " ".join((title or problem or "search tree").split())[:80]
    style, script = _asset("tree.css"), "\n".join(map(_asset, _SCRIPTS))
    places = {
        # Half a surrogate pair, which a command line may hold, has no UTF-8.
        "title": html.escape(words.encode("utf-8", "replace").decode("utf-8")),
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
        "data": script_json(_data(search, outcome, problem)),
    }
    # In one pass: what a model wrote may look like one of the places.
    return _PLACE.sub(lambda place: places[place[1]], _asset("tree.html"))


def tree_frame(search: Searched, outcome: Outcome, *, problem: str = "") -> str:
    """The page inside a frame of its own, for notebooks, whose cells it cannot reach."""
    page = html.escape(tree_page(search, outcome, problem=problem), quote=True)
    return (
        f'<iframe srcdoc="{page}" style="width:100%;height:{NOTEBOOK_HEIGHT}px;border:0" '
        'sandbox="allow-scripts" title="search tree"></iframe>'
    )


def _asset(name: str) -> str:
    return files("ets.tree_page").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """What names the text in the page's Content-Security-Policy: the browser runs no other."""
    return "sha256-" + b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")


def script_json(value: Any) -> str:
    """JSON that can stand inside a `<script>`: nothing in it can end the element or begin a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(search: Searched, outcome: Outcome, problem: str) -> dict[str, Any]:
    nodes = search.nodes
    known, how = verdicts(search), path_reward(search.strategy)
    column = {"last": nodes.reward, "min": nodes.lowest, "prod": nodes.product}[how]
    answers: list[str | None] = [None] * len(nodes)
    scores: list[float | None] = [None] * len(nodes)
    votes: list[int | None] = [None] * len(nodes)
    for solution, place in zip(outcome.solutions, _pools(outcome), strict=True):
        node = solution.node
        answers[node], scores[node], votes[node] = solution.answer, solution.score, place
    strategy = strategy_to_dict(search.strategy)
    return {
        "problem": problem,
        "answer": outcome.answer,
        "votes": [[vote.answer, round(vote.weight, 4), vote.count] for vote in outcome.votes],
        "strategy": strategy["name"],
        "settings": strategy["fields"] or {"width": int(search.strategy.width)},
        "limits": {
            "max_tokens": search.max_tokens,
            "max_depth": search.max_depth,
            "kv_budget": search.kv_budget,
            "seed": search.seed,
        },
        "path_reward": how,
        "end": search.end,
        "kv": [
            {
                "depth": step.depth,
                "width": step.width,
                "before": step.kv_before,
                "after": step.kv_after,
                "rebase": step.kv_rebase,
                "budget": step.kv_budget,
            }
            for step in search.kv
        ],
        "prompt_tokens": search.prompt_tokens,
        "nodes": {
            "parent": nodes.parent,
            "depth": nodes.depth,
            "tokens": nodes.tokens,
            "total": nodes.total,
            # More digits than the page shows: what is rounded twice is not what is rounded once.
            "reward": [round(reward, 6) for reward in nodes.reward],
            "path_reward": [float(f"{reward:.6g}") for reward in column],
            "text": nodes.text,
            "cluster": nodes.cluster,
            "fate": nodes.fate,
            "asked": nodes.requested,
            "share": [verdict.share for verdict in known],
            "why": [verdict.reason for verdict in known],
            "answer": answers,
            "score": scores,
            "vote": votes,
        },
    }


def _pools(outcome: Outcome) -> list[int | None]:
    """The place in `votes` of each solution's answer; None without one."""
    places = {vote.answer: place for place, vote in enumerate(outcome.votes)}
    firsts = pool([solution.answer for solution in outcome.solutions])
    return [None if first is None else places.get(first) for first in firsts]
