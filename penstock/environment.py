"""What the processes that we start find in their environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from core.settings import PREFIX

ROOT = str(Path(__file__).parent.parent)


def child_environment(settings: Mapping[str, object], gpu: str = "") -> Mapping[str, str]:
    """Our own environment, and the given settings over it.

    ``gpu``: the only one that the process shall see, where the operator has not said so already.
    """
    inherited = dict(os.environ)  # noqa: TID251 - handing it on
    # A checkout that is not installed works from any folder.
    path = os.pathsep.join(part for part in (inherited.get("PYTHONPATH", ""), ROOT) if part)
    given = {PREFIX + name.upper(): str(value) for name, value in settings.items()}
    visible = {"CUDA_VISIBLE_DEVICES": gpu} if gpu and "CUDA_VISIBLE_DEVICES" not in inherited else {}
    return {**inherited, **visible, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **given}
