"""How errors are told: ``extensions.code`` is the code that REST and Socket.IO give; what nobody expected is logged and masked."""

import secrets

from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from core.errors import BadRequest, PenstockError
from core.logging import get_logger

_OF_CLIENTS = (GraphQLError, MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)

_log = get_logger(face="graphql")


def describe_error(error: GraphQLError) -> GraphQLError:
    """The error as a client may see it. Only what the product itself says leaves it; anything else becomes a reference to a log line."""
    if error.extensions and "code" in error.extensions:
        return error
    cause = error.original_error
    if isinstance(cause, PenstockError):
        return _as(error, cause.detail, _extensions(cause))
    if cause is None or isinstance(cause, _OF_CLIENTS):
        return _as(error, error.message, {"code": BadRequest.code})
    reference = secrets.token_hex(4)
    _log.error("unhandled error", reference=reference, path=error.path, exc_info=cause)
    return _as(
        error,
        f"{PenstockError().detail} Tell its operator this reference: {reference}.",
        {"code": PenstockError.code, "reference": reference},
    )


def _extensions(cause: PenstockError) -> dict[str, object]:
    extensions = {"code": cause.code, "param": cause.param, "retryAfter": cause.retry_after}
    return {name: value for name, value in extensions.items() if value is not None}


def _as(error: GraphQLError, message: str, extensions: dict[str, object]) -> GraphQLError:
    return GraphQLError(message, nodes=error.nodes, source=error.source, positions=error.positions, path=error.path, extensions=extensions)
