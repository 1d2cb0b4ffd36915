"""The models that can be asked: ``models`` for the product's own clients, ``data`` for OpenAI's; and custom models."""

from typing import Any, Literal

import msgspec
from aiohttp import web

from api.http.json import json_response, read, read_query
from api.http.keys import PRINCIPAL, SERVICES
from core.models.catalog import ANY_TASK, CreateModel, CustomModel, Model, Task, UpdateModel
from core.services.models.models import CUSTOM_OWNER


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a custom model stands on, and what its clients keep with it."""

    base_model_id: str
    meta: dict[str, Any]


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that can be asked. ``created``: Unix seconds; ``context_length`` in tokens and ``size`` in bytes, where known.

    ``tasks``: what it can be asked for, ``chat`` or ``embedding``; left out where that is not known. ``info``: of a custom one.
    """

    id: str
    object: Literal["model"]
    name: str
    owned_by: str
    created: int
    tasks: tuple[Task, ...] | None = None
    context_length: int | None = None
    size: int | None = None
    info: ModelInfo | None = None

    @classmethod
    def of(cls, model: Model) -> "ModelSummary":
        """From the model."""
        return cls(
            id=model.id,
            object="model",
            name=model.name,
            owned_by=model.owned_by,
            created=model.created,
            tasks=None if set(model.tasks) == set(ANY_TASK) else model.tasks,
            context_length=model.context_length,
            size=model.size_bytes,
            info=ModelInfo(base_model_id=model.base_model_id, meta=model.meta) if model.base_model_id else None,
        )


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """One list under two names: OpenAI's ``data``, and ``models``."""

    object: Literal["list"]
    data: list[ModelSummary]
    models: list[ModelSummary]


class ModelResponse(ModelSummary, frozen=True, kw_only=True, omit_defaults=True):
    """A model; what follows ``info`` is there for custom ones. ``params`` holds ``system`` for its owner and administrators only."""

    base_model_id: str | None = None
    user_id: str | None = None
    params: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None
    is_active: bool | None = None
    created_at: int | None = None
    updated_at: int | None = None

    @classmethod
    def of_custom(cls, custom: CustomModel) -> "ModelResponse":
        """From a custom model."""
        return cls(
            object="model",
            owned_by=CUSTOM_OWNER,
            created=custom.created_at,
            info=ModelInfo(base_model_id=custom.base_model_id, meta=custom.meta),
            **msgspec.structs.asdict(custom),
        )


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: a model's; it may hold slashes."""

    id: str


class GivenParams(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters as they were sent: also those that only some upstream knows."""

    params: dict[str, Any] | None = None


class ListModels(msgspec.Struct, frozen=True, kw_only=True):
    """``refresh``: have the workers look again at what upstreams serve; what they find is in the next list."""

    refresh: bool = False


async def list_(request: web.Request) -> web.Response:
    """``GET /api/models/``: the models that can be asked, served and custom. Also beside each ``chat/completions``."""
    models = request.app[SERVICES].models
    if read_query(request, ListModels).refresh:
        await request.app[SERVICES].catalogue.look_again()
    rows = [ModelSummary.of(model) for model in await models.list(request[PRINCIPAL])]
    return json_response(ModelList(object="list", data=rows, models=rows))


async def list_custom(request: web.Request) -> web.Response:
    """``GET /api/models/custom``: the custom models that one may change: one's own, or as an administrator everybody's.

    Also those that are switched off, and those whose base model is not served now.
    """
    customs = await request.app[SERVICES].models.changeable(request[PRINCIPAL])
    return json_response([ModelResponse.of_custom(custom) for custom in customs])


async def get(request: web.Request) -> web.Response:
    """``GET …/models/{model_id}``: one model. Beside each ``chat/completions``."""
    return json_response(ModelSummary.of(await request.app[SERVICES].models.get(request[PRINCIPAL], request.match_info["model_id"])))


async def create(request: web.Request) -> web.Response:
    """``POST /api/models/create``: a custom model of one's own, on top of a served one."""
    command, given = await read(request, CreateModel), await read(request, GivenParams)
    custom = await request.app[SERVICES].models.create(request[PRINCIPAL], command, given.params or {})
    return json_response(ModelResponse.of_custom(custom), status=201)


async def whole(request: web.Request) -> web.Response:
    """``GET /api/models/{model_id}``: a model with all that the asker may see of it."""
    return await _whole(request, request.match_info["model_id"])


async def update(request: web.Request) -> web.Response:
    """``POST /api/models/{model_id}``: change a custom model. For its owner and administrators."""
    return await _update(request, request.match_info["model_id"])


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/models/{model_id}``: take a custom model away. For its owner and administrators."""
    return await _delete(request, request.match_info["model_id"])


async def find(request: web.Request) -> web.Response:
    """``GET /api/models/model``: a model by an id that may be anything."""
    return await _whole(request, read_query(request, Named).id)


async def change(request: web.Request) -> web.Response:
    """``POST /api/models/model/update``: change a custom model by an id that may be anything. For its owner and administrators."""
    return await _update(request, read_query(request, Named).id)


async def toggle(request: web.Request) -> web.Response:
    """``POST /api/models/model/toggle``: switch a custom model on or off. For its owner and administrators."""
    custom = await request.app[SERVICES].models.toggle(request[PRINCIPAL], read_query(request, Named).id)
    return json_response(ModelResponse.of_custom(custom))


async def remove(request: web.Request) -> web.Response:
    """``DELETE /api/models/model/delete``: take a custom model away by an id that may be anything. For its owner and administrators."""
    return await _delete(request, read_query(request, Named).id)


async def _whole(request: web.Request, model_id: str) -> web.Response:
    models, principal = request.app[SERVICES].models, request[PRINCIPAL]
    custom = await models.custom(principal, model_id)
    return json_response(ModelResponse.of_custom(custom) if custom else ModelSummary.of(await models.get(principal, model_id)))


async def _update(request: web.Request, model_id: str) -> web.Response:
    command, given = await read(request, UpdateModel), await read(request, GivenParams)
    return json_response(
        ModelResponse.of_custom(await request.app[SERVICES].models.update(request[PRINCIPAL], model_id, command, given.params))
    )


async def _delete(request: web.Request, model_id: str) -> web.Response:
    await request.app[SERVICES].models.delete(request[PRINCIPAL], model_id)
    return json_response(True)  # noqa: FBT003 - the whole body, as clients know it
