"""The search behind a server that speaks OpenAI's protocol: `ets serve`."""

from ets.extras import needs

with needs("fastapi", "serve"):
    import fastapi as _  # noqa: F401 - brings pydantic and starlette
