"""Holds `same_answer` against math-verify over gold answers, random pairs and changes of them.

    python benches/answers.py gsm8k_test.jsonl math500_test.jsonl

Two golds that differ in more than spaces are taken for different; what a grader holds equal is
printed, to be judged by reading. Changes are equal or different by what they do.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ets.answer import same_answer

Change = Callable[[str], str | None]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_VARIABLE = re.compile(r"(?<![\\A-Za-z{(])([a-df-hj-zA-DF-HJ-Z])(?![A-Za-z])")


def golds_of(path: Path) -> list[str]:
    """The gold answers of a file of GSM8K or MATH rows, those that differ in more than spaces."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
    answers = [str(row["answer"]).rpartition("####")[2].strip() for row in rows]
    return list({answer.replace(" ", ""): answer for answer in answers}.values())


def _is_number(gold: str) -> bool:
    return _NUMBER.fullmatch(gold.replace(",", "")) is not None


def _if_number(make: Change) -> Change:
    return lambda gold: make(gold) if _is_number(gold) else None


def _changed(pattern: str, by: str | Callable[[re.Match[str]], str]) -> Change:
    def make(gold: str) -> str | None:
        made = re.sub(pattern, by, gold, count=1)
        return None if made == gold else made

    return make


def _digits_swapped(gold: str) -> str | None:
    for at in range(len(gold) - 1):
        a, b = gold[at], gold[at + 1]
        if a.isdecimal() and b.isdecimal() and a != b:
            return gold[:at] + b + a + gold[at + 2 :]
    return None


def _case_swapped(gold: str) -> str | None:
    if "\\text" in gold or "\\begin" in gold or "\\mbox" in gold:
        return None
    made = _VARIABLE.sub(lambda m: m[0].swapcase(), re.sub(r"\\[A-Za-z]+", _shield, gold))
    made = re.sub("[\ue000-\uf000]+", _unshield, made)
    return None if made == gold else made


def _shield(match: re.Match[str]) -> str:
    return "".join(chr(0xE000 + ord(sign)) for sign in match[0])


def _unshield(match: re.Match[str]) -> str:
    return "".join(chr(ord(sign) - 0xE000) for sign in match[0])


def _reordered(gold: str) -> str | None:
    match = re.fullmatch(r"(\\left)?\((.+?),(.+?)(\\right)?\)", gold)
    if match is None or match[2].strip() == match[3].strip() or "cup" in gold:
        return None
    return f"({match[3]},{match[2]})"


def _listed_otherwise(gold: str) -> str | None:
    parts = gold.split(", ") if re.fullmatch(r"[-\d]+(?:, ?[-\d]+)+", gold) else []
    return ", ".join(reversed(parts)) if len(parts) > 1 else None


def _full_width(gold: str) -> str | None:
    return re.sub(r"\d", lambda m: chr(ord(m[0]) + 0xFEE0), gold) if _is_number(gold) else None


def _grouped(gold: str) -> str | None:
    digits = gold.replace(",", "")
    return (
        f"{int(digits):,}" if digits.isdecimal() and len(digits) > 3 and "," not in gold else None
    )


def _spaced(gold: str) -> str | None:
    return None if "," in gold else re.sub(r"([-+=])", r" \1 ", gold)


def _in_left_and_right(gold: str) -> str | None:
    if re.fullmatch(r"[^\\]*\([^\\]*\)[^\\]*", gold) is None:
        return None
    return gold.replace("(", "\\left(").replace(")", "\\right)")


def _negated(gold: str) -> str | None:
    if not _is_number(gold) or not gold.strip("-0."):
        return None
    return gold.removeprefix("-") if gold.startswith("-") else f"-{gold}"


def _closed(gold: str) -> str | None:
    return f"[{gold[1:]}" if re.fullmatch(r"\([^()]*,[^()]*[)\]]", gold) else None


def _plus_one(gold: str) -> str | None:
    is_sum = _is_number(gold) or re.search(r"[,=\(\[]|text|_", gold) is None
    return f"{gold}+1" if is_sum else None


EQUAL: dict[str, Change] = {
    "spaces": _spaced,
    "dollar signs": lambda gold: f"${gold}$" if "$" not in gold else None,
    "bold": lambda gold: f"\\mathbf{{{gold}}}",
    "full stop": lambda gold: f"{gold}.",
    "dfrac": _changed(r"\\frac", r"\\dfrac"),
    "left, right": _in_left_and_right,
    "full-width digits": _full_width,
    "thousands separators": _grouped,
    "a decimal zero": lambda gold: f"{gold}.0" if gold.replace("-", "").isdecimal() else None,
    "a unit": _if_number(lambda gold: f"{gold} apples"),
    "plain fraction": _changed(r"^\\d?frac\{(-?\d+)\}\{(\d+)\}$", r"\1/\2"),
    "order of a list": _listed_otherwise,
}
DIFFERENT: dict[str, Change] = {
    "a digit": _changed(r"\d", lambda m: str((int(m[0]) + 1) % 10)),
    "the last digit": _changed(r"\d(?=\D*$)", lambda m: str((int(m[0]) + 1) % 10)),
    "two digits swapped": _digits_swapped,
    "ten times": _if_number(lambda gold: f"{gold}0" if "." not in gold and gold != "0" else None),
    "the sign": _negated,
    "the case": _case_swapped,
    "the base": _changed(r"(?<=\d)_\{?(\d)\}?$", lambda m: f"_{int(m[1]) + 1}"),
    "the order": _reordered,
    "the brackets": _closed,
    "a summand": _plus_one,
}


def cases(golds: list[str]) -> Iterator[tuple[str, bool, str, str]]:
    """Each change of each gold that it applies to: its name, whether it is equal, and the pair."""
    for gold in golds:
        for name, change in EQUAL.items():
            if (made := change(gold)) is not None:
                yield name, True, gold, made
        for name, change in DIFFERENT.items():
            if (made := change(gold)) is not None:
                yield name, False, gold, made
        if _is_number(gold) and gold != "0":
            yield "the unit", False, f"{gold} cm", f"{gold} m"


def math_verify_alone(a: str, b: str) -> bool:
    """As its documentation says to use it."""
    from math_verify import verify

    return bool(verify(_parsed(a), _parsed(b)))


@cache
def _parsed(answer: str) -> list[Any]:
    from math_verify import parse

    found: list[Any] = parse(f"${answer}$")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help="also ask math-verify alone")
    options = parser.parse_args()
    golds = [gold for path in options.files for gold in golds_of(path)]
    golds = list({gold.replace(" ", ""): gold for gold in golds}.values())
    random_ = random.Random(options.seed)
    graders = {"ets": same_answer}
    if options.alone:
        graders["math-verify alone"] = math_verify_alone
    tried = list(cases(golds))
    for _ in range(options.pairs):
        a, b = random_.sample(golds, 2)
        tried.append(("random pairs", False, a, b))
    print(f"{len(golds)} distinct golds, {len(tried)} pairs, seed {options.seed}")
    for name, grader in graders.items():
        begin = time.perf_counter()
        wrong: dict[str, list[tuple[str, str]]] = defaultdict(list)
        count: dict[str, int] = defaultdict(int)
        for kind, is_equal, a, b in tried:
            count[kind] += 1
            if grader(a, b) != is_equal:
                wrong[kind].append((a, b))
        seconds = time.perf_counter() - begin
        print(f"\n{name}: {seconds:.0f} s", flush=True)
        for kind, number in count.items():
            word = "different" if kind in EQUAL else "equal"
            print(f"| {kind} | {number} | {len(wrong[kind])} false {word} |")
        for kind, pairs in wrong.items():
            if pairs:
                print(kind, pairs[:12], file=sys.stderr)
        for is_equal, word in ((False, "equal"), (True, "different")):
            kinds = [kind for kind in count if (kind in EQUAL) == is_equal]
            total = sum(count[kind] for kind in kinds)
            bad = sum(len(wrong[kind]) for kind in kinds)
            named = "equal" if is_equal else "different"
            print(f"| all that are {named} | {total} | {bad} false {word} ({bad / total:.2%}) |")


if __name__ == "__main__":
    main()
