"""A GPU-pool worker that computes in another way: ``python -m tests.survival.unlike older|uncompiled gpu``.

``older``: on kernels for a processor of which less is known. ``uncompiled``: without a compiler, by transformers.
"""

import sys
from importlib.metadata import PackageNotFoundError
from unittest.mock import patch

from gpu import kernels
from workers.__main__ import main

WAYS = {
    "older": patch.object(kernels, "targets", return_value=kernels.targets()[-1:]),
    "uncompiled": patch.object(kernels, "version", side_effect=PackageNotFoundError),
}

if __name__ == "__main__":
    with WAYS[sys.argv.pop(1)]:
        main()
