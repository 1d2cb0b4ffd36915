"""What says that a device has failed, and not a request. Imports no torch.

CUDA's own errors are fatal: its documentation says of nearly all that "the process must be terminated and relaunched". Not fatal are memory
that ran out (MemoryError, torch.OutOfMemoryError) and calls that were refused before they began: the device works on. Anything else that a
step raises is taken for a request's, until a step that is nobody's raises, too.
"""

from collections.abc import Callable, Hashable, Iterable

from core.errors import EngineFailed
from core.logging import get_logger

MOST_BARREN = 8  # requests that failed one after the other with no success between them, though the model itself answers

_DEVICE_WORDS = ("CUDA error", "CUDA driver error", "cuDNN error", "HIP error")
_REFUSED_WORDS = (
    "out of memory",
    "ALLOC_FAILED",
    "invalid argument",
    "invalid configuration argument",
    "too many resources requested for launch",
)

log = get_logger()


def is_fatal(error: BaseException) -> bool:
    """Whether a device's state is lost: ``torch.AcceleratorError``, or a RuntimeError in the words of CUDA's libraries."""
    words = str(error)
    is_devices = type(error).__name__ == "AcceleratorError" or (isinstance(error, RuntimeError) and words.startswith(_DEVICE_WORDS))
    return is_devices and not any(refused in words for refused in _REFUSED_WORDS)


class Barren:
    """Requests that failed since anybody's last success."""

    def __init__(self) -> None:
        self._requests: set[Hashable] = set()

    def end(self) -> None:
        """Somebody succeeded."""
        self._requests.clear()

    def add(self, requests: Iterable[Hashable], error: Exception) -> None:
        """These failed, and nobody beside them succeeded. Raises the error where that is too often."""
        self._requests.update(requests)
        if len(self._requests) >= MOST_BARREN:
            raise error


def tell(name: str, error: BaseException, on_failure: Callable[[str], None] | None) -> None:
    """Log that an engine has failed, and call the hook; what that raises is logged, too."""
    reason = f"{name}: {type(error).__name__}: {error}"
    log.error("engine failed", reason=reason)
    if on_failure:
        try:
            on_failure(reason)
        except Exception as raised:  # noqa: BLE001 - the thread that calls has nobody else to tell
            log.error("unhandled error", error=f"{type(raised).__name__}: {raised}")  # noqa: TRY400 - no request's text gets into the log


def explain_failure() -> EngineFailed:
    """What each request gets that a failed engine had, or is given."""
    return EngineFailed("The device or the engine of this worker has failed, and the worker starts again. Ask again.", retry_after=5)
