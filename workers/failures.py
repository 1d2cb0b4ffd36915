"""What went wrong with a job, as its log's last entry."""

from core.errors import PenstockError, Unavailable
from core.logging import get_logger
from core.models.events import Failed
from core.models.generations import JobSpec

log = get_logger()


def failure(error: Exception, spec: JobSpec, time_limit_s: float) -> Failed:
    """An expected error in its own words; a bug is logged with its stack, and told as a reference."""
    if isinstance(error, TimeoutError):
        error = Unavailable(f"It took longer than {time_limit_s:g} seconds, which is the limit here. Ask for less.")
    if isinstance(error, PenstockError):
        return Failed.of(error)
    log.error("unhandled error", model=spec.model, exc_info=error)
    return Failed(code=PenstockError.code, detail=f"Something went wrong on our side. Reference: {spec.id}.")
