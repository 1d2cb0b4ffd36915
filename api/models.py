"""The models that can be asked: ``models`` for the product's own clients, ``data`` for OpenAI's."""

from typing import Literal

import msgspec
from aiohttp import web

from api.bodies import answer
from api.keys import PRINCIPAL, SERVICES
from core.models.catalog import Model


class ModelRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that can be asked. ``created``: Unix seconds; ``context_length`` in tokens, where known."""

    id: str
    object: Literal["model"]
    name: str
    owned_by: str
    created: int
    context_length: int | None = None

    @classmethod
    def of(cls, model: Model) -> "ModelRow":
        """From the model."""
        return cls(
            id=model.id,
            object="model",
            name=model.name,
            owned_by=model.owned_by,
            created=model.created,
            context_length=model.context_length,
        )


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """One list under two names: OpenAI's ``data``, and ``models``."""

    object: Literal["list"]
    data: list[ModelRow]
    models: list[ModelRow]


async def list_(request: web.Request) -> web.Response:
    """``GET /api/models/``: the models that can be asked. Also beside each ``chat/completions``."""
    rows = [ModelRow.of(model) for model in await request.app[SERVICES].models.list(request[PRINCIPAL])]
    return answer(ModelList(object="list", data=rows, models=rows))


async def get(request: web.Request) -> web.Response:
    """``GET …/models/{model_id}``: one model. Beside each ``chat/completions``."""
    return answer(ModelRow.of(await request.app[SERVICES].models.get(request[PRINCIPAL], request.match_info["model_id"])))
