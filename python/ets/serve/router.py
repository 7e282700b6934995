"""Which replica of Ray Serve takes a request."""

from __future__ import annotations

import hashlib
import pickle
import random
import re
from collections.abc import Sequence
from typing import Any

from ets.extras import needs

with needs("ray", "ray-serve"):
    from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

_OF_A_SEARCH = re.compile(r"/v1/searches/search-(\w+)-\w+(?:/|$)")


class SearchRouter(RequestRouter):
    """The replica that has the search, where a request is about one; that of the session, where it
    has `X-Session-ID`; else the one of two with fewer requests."""

    async def choose_replicas(
        self,
        candidate_replicas: Sequence[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """As Ray Serve has it: groups of replicas, each tried where the ones before are full."""
        if pending_request is None:
            return [list(candidate_replicas)]
        pending_request.routing_context.should_backoff = True
        name = search_replica(path_of(pending_request.args))
        if name is not None:
            its = [one for one in candidate_replicas if one.replica_id.unique_id == name]
            if its:  # else nobody has it, and whoever is asked says so
                return [its]
        if session := pending_request.metadata.session_id:
            return [[one] for one in of_session(session, candidate_replicas)]
        return [random.sample(candidate_replicas, min(2, len(candidate_replicas)))]


def search_replica(path: str) -> str | None:
    """The name of the replica that has the search which a path is about; None if it is not."""
    found = _OF_A_SEARCH.search(path)
    return None if found is None else found[1]


def path_of(arguments: Sequence[Any]) -> str:
    """That of a request from Ray Serve's HTTP proxy; empty for a call of another kind."""
    # The proxy has pickled it a moment ago, in this process.
    asked = pickle.loads(arguments[0]) if arguments and isinstance(arguments[0], bytes) else None
    scope = getattr(asked, "asgi_scope", {})
    return str(scope.get("path", ""))


def of_session(session: str, replicas: Sequence[RunningReplica]) -> list[RunningReplica]:
    """The replicas in a session's order: when one comes or goes, only its own sessions move."""

    def weight(replica: RunningReplica) -> bytes:
        both = f"{session}\0{replica.replica_id.unique_id}"
        return hashlib.blake2b(both.encode(), digest_size=8).digest()

    return sorted(replicas, key=weight)
