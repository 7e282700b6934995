"""Engines behind a server: the connection, what runs there, waiting for one that is away."""
