"""What it costs an engine, per sampled token, to find the end of a step: by ids, or in text.

vLLM looks for the last id in the list of a request's stop ids, and makes text of every token where
a request has stop texts. On the real vocabulary of Qwen2.5, which `tests/vocabularies.py` makes:

    python benches/step_ends.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ets.checkpoint.tokenizer import load_tokenizer
from ets.policy.base import PolicyOptions
from ets.policy.stops import EngineStops, delimiter_ids

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

ROUNDS, SAMPLES, SCANS = 5, 40, 20_000
TEXT = (
    "The sum of the first $n$ odd numbers is $n^2$, so for n = 100 we get 100 \\times 100 = 10000 "
    "and we are done with it. "
) * 2


def scan(ids: list[int]) -> float:
    """Microseconds to find that a token is none of these."""
    token = 150_000
    begin = time.perf_counter()
    for _ in range(SCANS):
        token in ids  # noqa: B015  what vLLM's scheduler asks at every token
    return (time.perf_counter() - begin) / SCANS * 1e6


def front_end(tokenizer: Any, stops: EngineStops) -> float:
    """Microseconds a token in the front end of vLLM, for one request after the other."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams
    from vllm.v1.engine import EngineCoreRequest
    from vllm.v1.engine.detokenizer import IncrementalDetokenizer

    params = SamplingParams(
        stop=list(stops.texts),
        stop_token_ids=list(stops.ids),
        detokenize=bool(stops.texts),
        include_stop_str_in_output=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    fields = {
        "request_id": "a",
        "prompt_token_ids": tokenizer.encode(TEXT * 5),
        "mm_features": None,
        "sampling_params": params,
        "pooling_params": None,
        "arrival_time": 0.0,
        "lora_request": None,
        "cache_salt": None,
        "data_parallel_rank": None,
    }
    known = EngineCoreRequest.__struct_fields__
    request = EngineCoreRequest(**{k: v for k, v in fields.items() if k in known})
    ids = tokenizer.encode(TEXT)
    begin = time.perf_counter()
    for _ in range(SAMPLES):
        reader = IncrementalDetokenizer.from_new_request(
            tokenizer if stops.texts else None, request
        )
        for token in ids:
            reader.update([token], False)
    return (time.perf_counter() - begin) / (SAMPLES * len(ids)) * 1e6


def median(measure: Callable[[], float]) -> float:
    """Of some rounds, after one that warms up."""
    measure()
    return statistics.median(measure() for _ in range(ROUNDS))


def main() -> None:
    from vocabularies import qwen_tokenizer_path

    tokenizer = load_tokenizer(str(qwen_tokenizer_path()))
    ends = frozenset([tokenizer.eos_token_id])
    every = sorted(delimiter_ids(tokenizer, "\n\n") or ())
    by_ids = EngineStops.of(tokenizer, PolicyOptions(), ends)
    print("| a step ends by | engine, us a token | front end, us a token |")
    print("| --- | --- | --- |")
    for title, ids, stops in (
        (f"text, and {len(ends)} id", sorted(ends), EngineStops(tuple(ends), ("\n\n",))),
        (f"{len(by_ids.ids)} ids", list(by_ids.ids), by_ids),
        (f"all {len(every) + 1} ids", [*every, *ends], by_ids),
    ):
        engine = median(lambda ids=ids: scan(ids))  # type: ignore[misc]
        front = median(lambda stops=stops: front_end(tokenizer, stops))  # type: ignore[misc]
        print(f"| {title} | {engine:.2f} | {front:.2f} |", flush=True)


if __name__ == "__main__":
    main()
