"""What went wrong with a job, as its log's last entry."""

from core.errors import PenstockError
from core.logging import get_logger
from core.models.events import Failed
from core.models.jobs import JobSpec

log = get_logger()


def failure(error: Exception, spec: JobSpec) -> Failed:
    """An expected error in its own words; a bug is logged with its stack, and told as a reference."""
    if isinstance(error, PenstockError):
        return Failed.of(error)
    log.error("unhandled error", kind=spec.kind, exc_info=error)
    return Failed(code=PenstockError.code, detail=f"Something went wrong on our side. Reference: {spec.id}.")
