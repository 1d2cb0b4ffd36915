"""The one family of errors. A message tells its reader what to do next and never holds a secret.

PenstockError                500 internal_error
├── BadRequest               400 bad_request
│   ├── ContextTooLong       400 context_length_exceeded
│   └── Unsupported          400 unsupported_parameter
├── Unauthenticated          401 unauthenticated
├── Forbidden                403 forbidden
├── NotFound                 404 not_found
│   └── ModelNotFound        404 model_not_found
├── Conflict                 409 conflict
├── TooLarge                 413 too_large
├── UnsupportedType          415 unsupported_type
├── WorkFailed               422 work_failed
│   ├── WorkRaised           422 work_raised
│   ├── WorkCrashed          422 work_crashed
│   ├── TookTooLong          422 time_limit_exceeded
│   ├── TookTooMuchMemory    422 memory_limit_exceeded
│   └── GaveTooMuch          422 output_limit_exceeded
├── RateLimited              429 rate_limit_exceeded
├── Unavailable              503 unavailable
│   └── EngineFailed         503 engine_failed
├── UpstreamError            502 upstream_error
│   ├── UpstreamAuth         502 upstream_auth
│   ├── UpstreamRefused      502 upstream_refused
│   ├── UpstreamBroken       502 upstream_broken
│   ├── UpstreamLimited      429 upstream_rate_limited
│   └── UpstreamTimeout      504 upstream_timeout
└── SettingsError            exit code 2, one line
"""

from typing import ClassVar


class PenstockError(Exception):
    """Something went wrong; ``status`` is its HTTP code, ``code`` its name on every face."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        detail: str = "Something went wrong on our side.",
        *,
        param: str | None = None,
        retry_after: int | None = None,
        upstream_code: str | None = None,
    ) -> None:
        """``param``: the request field at fault; ``retry_after``: seconds to wait before asking again.

        ``upstream_code``: what the model's server calls it; OpenAI's clients are told that name.
        """
        super().__init__(detail)
        self.detail = detail
        self.param = param
        self.retry_after = retry_after
        self.upstream_code = upstream_code


class BadRequest(PenstockError):
    """What was sent cannot be used."""

    status, code = 400, "bad_request"


class ContextTooLong(BadRequest):
    """The prompt (and the tokens asked for) do not fit the model's context. OpenAI's code."""

    code = "context_length_exceeded"


class Unsupported(BadRequest):
    """What a field asks for, the model cannot do. OpenAI's code."""

    code = "unsupported_parameter"


class Unauthenticated(PenstockError):
    """No token, or one that is not valid."""

    status, code = 401, "unauthenticated"


class Forbidden(PenstockError):
    """Known, but without the right."""

    status, code = 403, "forbidden"


class NotFound(PenstockError):
    """Not there, or not yours: the two are told alike."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """No such model among those served here."""

    code = "model_not_found"


class Conflict(PenstockError):
    """Somebody else was first."""

    status, code = 409, "conflict"


class TooLarge(PenstockError):
    """More bytes than are taken."""

    status, code = 413, "too_large"


class UnsupportedType(PenstockError):
    """Of a media type that is not taken."""

    status, code = 415, "unsupported_type"


class WorkFailed(PenstockError):
    """Heavy work on what was sent, done in a process of its own, came to nothing. Whatever went wrong was that process's alone."""

    status, code = 422, "work_failed"


class WorkRaised(WorkFailed):
    """It said itself why it cannot be done."""

    code = "work_raised"


class WorkCrashed(WorkFailed):
    """Its process ended in the middle of it."""

    code = "work_crashed"


class TookTooLong(WorkFailed):
    """It reached its limit of time."""

    code = "time_limit_exceeded"


class TookTooMuchMemory(WorkFailed):
    """It reached its limit of memory, or the machine's."""

    code = "memory_limit_exceeded"


class GaveTooMuch(WorkFailed):
    """Its result is larger than may be given."""

    code = "output_limit_exceeded"


class RateLimited(PenstockError):
    """Too many requests."""

    status, code = 429, "rate_limit_exceeded"


class Unavailable(PenstockError):
    """Something that is needed (Redis, the store, a worker) is not there now."""

    status, code = 503, "unavailable"


class EngineFailed(Unavailable):
    """A local model's engine or its device failed as a whole, with every request that it had: none of them is at fault."""

    code = "engine_failed"


class UpstreamError(PenstockError):
    """The model's server failed."""

    status, code = 502, "upstream_error"


class UpstreamAuth(UpstreamError):
    """The model's server refused our key."""

    code = "upstream_auth"


class UpstreamRefused(UpstreamError):
    """The model's server could not be reached."""

    code = "upstream_refused"


class UpstreamBroken(UpstreamError):
    """The model's server broke off in the middle of its answer."""

    code = "upstream_broken"


class UpstreamLimited(UpstreamError):
    """The model's server is being asked too often."""

    status, code = 429, "upstream_rate_limited"


class UpstreamTimeout(UpstreamError):
    """The model's server took too long."""

    status, code = 504, "upstream_timeout"


class SettingsError(PenstockError):
    """A setting has a value that cannot be used."""

    code = "settings"


def by_code(code: str) -> type[PenstockError]:
    """The kind of error that a code stands for."""
    return _CODES.get(code, PenstockError)


def _family(kind: type[PenstockError]) -> dict[str, type[PenstockError]]:
    members = {kind.code: kind}
    for child in kind.__subclasses__():
        members |= _family(child)
    return members


_CODES = _family(PenstockError)
