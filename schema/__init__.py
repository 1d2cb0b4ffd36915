"""The GraphQL face: types, queries, mutations and subscriptions over core.services.

``schema`` is the whole of it; ``python -m schema`` prints its SDL.
"""

from typing import Any

import strawberry
from graphql import GraphQLError

from schema.entrance import Entrance
from schema.errors import describe_error
from schema.generations import PROJECTIONS
from schema.mutation import Mutation
from schema.operations import Operations
from schema.query import Query
from schema.subscription import Subscription


class Schema(strawberry.Schema):
    """Strawberry's, with the product's way of telling errors in the one place that all errors of all transports pass."""

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Replace each error by what a client may see."""
        del execution_context
        errors[:] = [describe_error(error) for error in errors]


schema = Schema(
    query=Query, mutation=Mutation, subscription=Subscription, types=tuple(PROJECTIONS.values()), extensions=(Entrance, Operations)
)
