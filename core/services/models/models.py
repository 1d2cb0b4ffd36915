"""Models as they are listed and asked: those that workers serve, and custom models on top of them."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from core.errors import BadRequest, Conflict, Forbidden, ModelNotFound, Unavailable
from core.models.catalog import CreateModel, CustomModel, Model, Task, UpdateModel
from core.models.users import Principal
from core.services.models.catalogue import Catalogue
from core.services.models.custom_models import CustomModels, check_size

SHOWN = 5
CUSTOM_OWNER = "user"
MAX_PER_USER = 100


class Models:
    """Models as every face lists and resolves them."""

    def __init__(self, catalogue: Catalogue, customs: CustomModels, *, embedding_model: str = "") -> None:
        """``embedding_model``: of new knowledge bases, where one is set."""
        self._catalogue = catalogue
        self._customs = customs
        self._embedding_model = embedding_model

    async def list(self, principal: Principal) -> list[Model]:
        """Every model that a principal may ask: served ones, those for chat first, then active custom ones whose base is served."""
        del principal  # every active user may ask every model
        served = await self._catalogue.served()
        customs = sorted((await self._customs.all()).values(), key=lambda custom: custom.id)
        return [*served.values(), *(_listed(custom, served[custom.base_model_id]) for custom in customs if _shown(custom, served))]

    async def changeable(self, principal: Principal) -> Sequence[CustomModel]:
        """Custom models that a principal may change, by id: also those that are switched off or whose base is not served now."""
        return sorted((found for found in (await self._customs.all()).values() if _may_change(principal, found)), key=lambda one: one.id)

    async def get(self, principal: Principal, model_id: str) -> Model:
        """One model. Raises ModelNotFound, naming some that exist."""
        model, _ = await self._resolve(principal, model_id)
        return model

    async def resolve(self, principal: Principal, model_id: str, task: Task) -> tuple[Model, CustomModel | None]:
        """A model to ask for something, and what it adds where it is a custom one.

        Raises ModelNotFound, naming some that exist, and BadRequest where it is of the other kind.
        """
        model, custom = await self._resolve(principal, model_id)
        if task not in model.tasks:
            fitting = _listing([other.id for other in self._catalogue.known().values() if task in other.tasks]) or "none here"
            message = f"model: {model_id!r} cannot be asked for {task}, only for {', '.join(model.tasks)}. Models that can: {fitting}."
            raise BadRequest(message, param="model")
        return model, custom

    async def _resolve(self, principal: Principal, model_id: str) -> tuple[Model, CustomModel | None]:
        del principal
        served = await self._catalogue.served()
        if model_id in served:
            return served[model_id], None
        custom = (await self._customs.all()).get(model_id)
        if custom is None:
            model = await self._catalogue.find(model_id)
            if model is None:
                raise self._unknown(model_id)
            return model, None
        if not custom.is_active:
            message = f"The model {model_id!r} is switched off. Its owner or an administrator can switch it on."
            raise ModelNotFound(message, param="model")
        base_id = custom.base_model_id
        base = await self._catalogue.find(base_id)
        if base is None:
            message = f"The model {model_id!r} stands on {custom.base_model_id!r}, which does not exist here now. {self._some()}"
            raise ModelNotFound(message, param="model")
        return _listed(custom, base), custom

    async def default(self, principal: Principal) -> Model:
        """The model for a chat that names none: an upstream's first, else the local one. Raises Unavailable where there is none."""
        listed = await self.list(principal) or list((await self._catalogue.served(fresh=True)).values())
        models = [model for model in listed if Task.CHAT in model.tasks]
        if not models:
            message = "No model is served yet. Start a worker (penstock worker gpu), or wait until it has loaded its model."
            raise Unavailable(message, retry_after=5)
        return models[0]

    async def for_embedding(self, model_id: str = "") -> Model:
        """A knowledge base's model; without an id that of new ones: the one that the settings name, else the first made for nothing else.

        Raises Unavailable where nobody serves it, and BadRequest for one that makes no vectors.
        """
        wanted = model_id or self._embedding_model
        served = await self._catalogue.served(fresh=True)
        if not wanted:
            found = next((model for model in served.values() if model.tasks == (Task.EMBEDDING,)), None)
            missing = (
                "No embedding model is served yet. Wait for a worker that starts, start one (penstock worker gpu), or name an upstream's: "
                "PENSTOCK_EMBEDDING_MODEL."
            )
        else:
            found, missing = (
                served.get(wanted),
                f"The embedding model {wanted!r} is not served now. Start a worker or upstream that has it.",
            )
        if found is None:
            raise Unavailable(missing, retry_after=5)
        if Task.EMBEDDING not in found.tasks:
            message = f"The model {wanted!r} makes no vectors. Look at PENSTOCK_EMBEDDING_MODEL."
            raise BadRequest(message)
        return found

    async def create(self, principal: Principal, command: CreateModel, params: Mapping[str, Any]) -> CustomModel:
        """A new custom model of the principal's; ``params`` as they were sent, which ``command`` has checked. Raises BadRequest."""
        check_size(params=params, meta=command.meta)
        if not principal.is_admin and len(await self.changeable(principal)) >= MAX_PER_USER:
            message = f"You have {MAX_PER_USER} custom models, which is the most. Delete one first."
            raise BadRequest(message)
        model_id = command.id or _slug(command.name)
        base_id = await self._base(command, model_id)
        served = await self._catalogue.served(fresh=True)
        now = int(time.time())
        custom = CustomModel(
            id=model_id,
            name=command.name,
            base_model_id=base_id,
            user_id=principal.id,
            params=dict(params),
            meta=command.meta,
            is_active=command.is_active,
            created_at=now,
            updated_at=now,
        )
        if model_id in served:
            raise _taken(model_id)
        try:
            await self._customs.add(custom)
        except Conflict:
            raise _taken(model_id) from None
        return custom

    async def custom(self, principal: Principal, model_id: str) -> CustomModel | None:
        """A custom model, its system prompt only for those who may change it; None for a served one. Raises ModelNotFound."""
        custom = await self._customs.get(model_id)
        if custom is None:
            if model_id in await self._catalogue.served(fresh=True):
                return None
            raise self._unknown(model_id)
        if _may_change(principal, custom):
            return custom
        if not custom.is_active:
            raise self._unknown(model_id)
        return msgspec.structs.replace(custom, params={name: value for name, value in custom.params.items() if name != "system"})

    async def update(
        self, principal: Principal, model_id: str, command: UpdateModel, params: Mapping[str, Any] | None = None
    ) -> CustomModel:
        """Change a custom model; ``params`` as they were sent. Raises ModelNotFound, Forbidden, BadRequest."""
        custom = await self._changeable(principal, model_id)
        check_size(params=params, meta=command.meta)
        changes: dict[str, Any] = {"updated_at": max(int(time.time()), custom.updated_at)}
        if command.base_model_id or command.base_model:
            changes["base_model_id"] = await self._base(command, model_id)
        for name in ("name", "meta", "is_active"):
            if (value := getattr(command, name)) is not None:
                changes[name] = value
        if params is not None:
            changes["params"] = dict(params)
        changed = await self._customs.change(model_id, changes)
        if changed is None:
            raise self._unknown(model_id)
        return changed

    async def toggle(self, principal: Principal, model_id: str) -> CustomModel:
        """Switch a custom model on or off. Raises ModelNotFound, Forbidden."""
        custom = await self._changeable(principal, model_id)
        return await self.update(principal, model_id, UpdateModel(is_active=not custom.is_active))

    async def delete(self, principal: Principal, model_id: str) -> None:
        """Take a custom model away. Raises ModelNotFound, Forbidden."""
        await self._changeable(principal, model_id)
        await self._customs.remove(model_id)

    async def _changeable(self, principal: Principal, model_id: str) -> CustomModel:
        custom = await self._customs.get(model_id)
        if custom is None and model_id not in await self._catalogue.served(fresh=True):
            raise self._unknown(model_id)
        if custom is None:
            message = f"The model {model_id!r} is served by a worker. Only custom models can be changed or deleted here."
            raise Forbidden(message)
        if not _may_change(principal, custom):
            if not custom.is_active:
                raise self._unknown(model_id)
            message = f"The model {model_id!r} belongs to somebody else. Its owner and administrators may change it."
            raise Forbidden(message)
        return custom

    async def _base(self, command: CreateModel | UpdateModel, model_id: str) -> str:
        """The served model to stand on. Raises BadRequest, ModelNotFound."""
        base_id = command.base_model_id or command.base_model
        if not base_id:
            message = "base_model: name the model that this one stands on."
            raise BadRequest(message, param="base_model")
        if base_id in await self._catalogue.served(fresh=True):
            return base_id
        custom = await self._customs.get(base_id)
        if custom or base_id == model_id:
            instead = f" Name {custom.base_model_id!r}, which that one stands on." if custom else ""
            message = f"base_model: {base_id!r} is a custom model itself, and a custom model stands on a served one.{instead}"
            raise BadRequest(message, param="base_model")
        message = f"base_model: the model {base_id!r} does not exist here. {self._some()}"
        raise ModelNotFound(message, param="base_model")

    def _unknown(self, model_id: str) -> ModelNotFound:
        return ModelNotFound(f"The model {model_id!r} does not exist here. {self._some()}", param="model")

    def _some(self) -> str:
        known = _listing(sorted(self._catalogue.known()))
        return f"Models: {known}." if known else "There is none yet: no worker is running, or none has loaded its model yet."


def _may_change(principal: Principal, custom: CustomModel) -> bool:
    return principal.is_admin or principal.id == custom.user_id


def _shown(custom: CustomModel, served: Mapping[str, Model]) -> bool:
    return custom.is_active and custom.base_model_id in served and custom.id not in served


def _listed(custom: CustomModel, base: Model) -> Model:
    """A custom model as one to ask."""
    return msgspec.structs.replace(
        base,
        id=custom.id,
        name=custom.name,
        owned_by=CUSTOM_OWNER,
        created=custom.created_at,
        base_model_id=custom.base_model_id,
        meta=custom.meta,
    )


def _listing(model_ids: Sequence[str]) -> str:
    left = len(model_ids) - SHOWN
    return ", ".join(model_ids[:SHOWN]) + (f" and {left} more" if left > 0 else "")


def _taken(model_id: str) -> BadRequest:
    return BadRequest(f"id: there is already a model {model_id!r}. Send another id (or, without one, another name).", param="id")


def _slug(name: str) -> str:
    """A name as an id. Raises BadRequest where nothing is left of it."""
    slug = re.sub(r"[^\w.:/-]+", "-", name.strip().lower()).strip("-./:")
    if not slug:
        message = "name: it holds nothing that could be part of an id. Send an id beside it."
        raise BadRequest(message, param="id")
    return slug
