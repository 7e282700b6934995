"""What every engine on a server can do."""

from __future__ import annotations

from ets.engines.server.connection import Connection
from ets.engines.server.model_card import ModelCard
from ets.pickled import Unpicklable


class OnServer(Unpicklable):
    """An engine behind a connection, which it owns."""

    _connection: Connection
    _server: ModelCard

    @property
    def server(self) -> ModelCard:
        """What the server said of itself."""
        return self._server

    @property
    def patience(self) -> float:
        """Seconds that it was told to wait for a server which has gone."""
        return self._connection.patience

    def wait_at_most(self, seconds: float) -> None:
        """Wait no longer from now on: a search has other replicas to go on with."""
        self._connection.wait_at_most(seconds)

    async def aclose(self) -> None:
        """Close the connections; calls that still wait get an `EngineError`."""
        await self._connection.aclose()
