"""``python -m workers POOL``: one worker process. ``penstock worker POOL`` starts it and starts it again when it dies."""

import os
import sys

from core import settings as settings_module
from core.errors import PenstockError
from core.logging import configure
from core.models.pools import Pool
from core.settings import Settings

RESTART_DELAY_MS = "300"


def main() -> None:
    """Run until told to stop. A setting that cannot be used: one line, exit code 2."""
    try:
        pool = Pool(sys.argv[1])
        settings = settings_module.with_secret_key(settings_module.load())
        configure(settings)
        _run(pool, settings)
    except (PenstockError, ValueError, IndexError) as error:
        sys.stderr.write(f"penstock worker: {getattr(error, 'detail', None) or 'name a pool: gpu, relay or cpu.'}\n")
        sys.exit(2)
    sys.stderr.flush()
    os._exit(0)  # everything is handed back; waiting for idle threads would only delay a deploy


def _run(pool: Pool, settings: Settings) -> None:
    os.environ["dramatiq_restart_delay"] = RESTART_DELAY_MS  # noqa: SIM112, TID251 - Dramatiq reads it at import, and only there
    from workers.process import WorkerProcess  # noqa: PLC0415 - after the line above
    from workers.runtimes.pools import work_of  # noqa: PLC0415 - after the line above

    WorkerProcess(pool, settings, work_of(pool, settings)).run()


if __name__ == "__main__":
    main()
