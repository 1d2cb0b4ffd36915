"""The models that can be asked."""

from datetime import datetime
from typing import Self

import strawberry

from core.models import catalog
from schema.times import to_datetime


@strawberry.type(description="A model that can be asked. Its id is what `sendMessage` takes.")
class Model:
    """Projection of core.models.catalog.Model."""

    id: strawberry.ID
    name: str
    owned_by: str
    created: datetime
    pool: str = strawberry.field(description="The worker pool that answers for it.")
    context_length: int | None = strawberry.field(description="In tokens, where known.")

    @classmethod
    def of(cls, model: catalog.Model) -> Self:
        """From the model."""
        return cls(
            id=strawberry.ID(model.id),
            name=model.name,
            owned_by=model.owned_by,
            created=to_datetime(model.created),
            pool=model.pool,
            context_length=model.context_length,
        )
