"""The models that can be asked: ``models`` for the product's own clients, ``data`` for OpenAI's."""

from typing import Any

from aiohttp import web

from api.bodies import answer
from api.keys import PRINCIPAL, SERVICES
from core.models.catalog import Model


async def list_(request: web.Request) -> web.Response:
    """``GET /api/models/``, ``/api/models``, and ``models`` beside each ``chat/completions``."""
    rows = [_row(model) for model in await request.app[SERVICES].models.list(request[PRINCIPAL])]
    return answer({"object": "list", "data": rows, "models": rows})


async def get(request: web.Request) -> web.Response:
    """``GET …/models/{model_id}`` beside ``chat/completions``."""
    return answer(_row(await request.app[SERVICES].models.get(request[PRINCIPAL], request.match_info["model_id"])))


def _row(model: Model) -> dict[str, Any]:
    row = {"id": model.id, "object": "model", "name": model.name, "owned_by": model.owned_by, "created": model.created}
    return row | ({"context_length": model.context_length} if model.context_length else {})
