"""Which of the host's files may be read where there is no mount namespace: Python's own, by Landlock. None may be written."""

import os
import struct

from pipelines.sandbox.inside.kernel import landlock_add, landlock_create, landlock_version

_READ_FILE, _READ_FOLDER = 4, 8
# Of the kernel's versions of Landlock: how many kinds of access to files there are.
_KINDS = {1: 13, 2: 14, 3: 15, 4: 15}
_KINDS_NOW = 16
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
_BOTH = 3  # bind and connect by TCP; abstract Unix sockets and signals


def ruleset(readable: list[str]) -> int:
    """A descriptor of the rules: reading under some paths, and nothing else."""
    version = landlock_version()
    attributes = struct.pack("=Q", (1 << _KINDS.get(version, _KINDS_NOW)) - 1)
    if version >= _NETWORK_SINCE:
        attributes += struct.pack("=Q", _BOTH)
    if version >= _SCOPES_SINCE:
        attributes += struct.pack("=Q", _BOTH)
    rules = landlock_create(attributes)
    for path in filter(os.path.exists, readable):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        access = _READ_FILE | (_READ_FOLDER if os.path.isdir(path) else 0)  # noqa: PTH112 - os.path is loaded, pathlib is not
        landlock_add(rules, struct.pack("=Qi", access, descriptor))
        os.close(descriptor)
    return rules
