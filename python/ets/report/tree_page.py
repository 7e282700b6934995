"""The tree of one search as an interactive page: one HTML file, no network."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from typing import Any

from ets.report.reasons import verdicts
from ets.results import SearchResult
from ets.strategy import strategy_to_dict

NOTEBOOK_HEIGHT = 640
"""Pixels of the frame in a notebook."""
_PLACE = re.compile(r"\{\{(title|style|script|data)\}\}")


def tree_page(result: SearchResult, *, title: str | None = None) -> str:
    """The page as HTML text. What models and users wrote is data in it, never markup.

    `title` is the page's, the problem's beginning unless given.
    """
    words = " ".join((title or result.problem or "search tree").split())
    places = {
        "title": html.escape(words[:80]),
        "style": _asset("tree.css"),
        "script": _asset("tree.js"),
        "data": script_json(_data(result)),
    }
    # In one pass: what a model wrote may look like one of the places.
    return _PLACE.sub(lambda place: places[place[1]], _asset("tree.html"))


def tree_frame(result: SearchResult) -> str:
    """The page inside a frame of its own, for notebooks."""
    page = html.escape(tree_page(result), quote=True)
    return (
        f'<iframe srcdoc="{page}" style="width:100%;height:{NOTEBOOK_HEIGHT}px;border:0" '
        'title="search tree"></iframe>'
    )


def _asset(name: str) -> str:
    return files("ets.report").joinpath(name).read_text("utf-8")


def script_json(value: Any) -> str:
    """JSON that can stand inside a `<script>`: nothing in it can end the element or begin a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(result: SearchResult) -> dict[str, Any]:
    search = result.tree
    nodes = search.nodes
    known = verdicts(search)
    answers: list[str | None] = [None] * len(nodes)
    scores: list[float | None] = [None] * len(nodes)
    for solution in result.trajectories:
        answers[solution.node], scores[solution.node] = solution.answer, solution.score
    strategy = strategy_to_dict(search.strategy)
    return {
        "problem": result.problem,
        "answer": result.answer,
        "votes": [[vote.answer, round(vote.weight, 4), vote.count] for vote in result.votes],
        "strategy": strategy["name"],
        "settings": strategy["fields"] or {"width": search.strategy.width},
        "end": search.end,
        "kv": [
            [s.depth, s.width, s.candidates, s.kept, s.kv_before, s.kv_after, s.kv_rebase]
            for s in search.kv
        ],
        "tokens": sum(nodes.tokens[1:]),
        "prompt_tokens": search.prompt_tokens,
        "nodes": {
            "parent": nodes.parent,
            "depth": nodes.depth,
            "tokens": nodes.tokens,
            "reward": [round(reward, 4) for reward in nodes.reward],
            "lowest": [round(reward, 4) for reward in nodes.lowest],
            "text": nodes.text,
            "cluster": nodes.cluster,
            "fate": nodes.fate,
            "asked": nodes.requested,
            "share": [verdict.share for verdict in known],
            "why": [verdict.reason for verdict in known],
            "answer": answers,
            "score": scores,
        },
    }
