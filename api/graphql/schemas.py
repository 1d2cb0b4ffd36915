"""What GraphQL takes and gives over HTTP, for the documentation: Strawberry reads and writes it.

Source: GraphQL over HTTP, the working draft of the GraphQL Foundation.
"""

from typing import Any

import msgspec


class GraphQLRequest(msgspec.Struct, frozen=True, kw_only=True, rename={"operation_name": "operationName"}):
    """One operation. ``operation_name``: which one, where ``query`` holds several."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class GraphQLParameters(msgspec.Struct, frozen=True, kw_only=True, rename={"operation_name": "operationName"}):
    """``query``: a query. ``variables``: a JSON object. ``operationName``: which one, where there are several."""

    query: str
    variables: str | None = None
    operation_name: str | None = None


class GraphQLResponse(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` is left out where nothing was run; each of ``errors`` has its code in ``extensions``."""

    data: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    errors: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    extensions: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
