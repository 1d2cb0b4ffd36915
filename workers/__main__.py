"""``python -m workers POOL``: one worker process. ``penstock worker POOL`` starts it and starts it again when it dies."""

import os
import sys

from core import settings as settings_module
from core.errors import PenstockError
from core.logging import configure
from core.models.pools import Pool
from core.settings import Settings
from gpu.environment import CHILD_ENVIRONMENT


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


def _run(pool: Pool, settings: Settings) -> None:
    if pool is Pool.GPU:
        os.environ.update(CHILD_ENVIRONMENT)  # noqa: TID251 - the model libraries read it at import, and only there
    from workers.process import WorkerProcess  # noqa: PLC0415 - after the settings are known to be good
    from workers.runtimes.pools import work_of  # noqa: PLC0415 - the same

    WorkerProcess(pool, settings, lambda fail: work_of(pool, settings, fail)).run()


if __name__ == "__main__":
    main()
