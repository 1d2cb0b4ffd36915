#!/usr/bin/env bash
# uvloop 0.23.0: a child that is started with close_fds=True, which is the default, still gets every inheritable file descriptor.
#
# The guess: asyncio.create_subprocess_exec means the same on every event loop, so close_fds=True leaves a child 0, 1 and 2 and no more.
# What happens: on asyncio's own loop that is so. On uvloop, descriptors that were made inheritable (a socket that was handed over by a
# service manager, one end of a pipe for another child, a lock file) stay open in the child.
# Seen: asyncio: the child has the descriptor: False; uvloop: the child has the descriptor: True.
# What it costs: a child that outlives its parent keeps the parent's port bound or its lock held; a pipe whose reader waits for its end
# never ends, because a neighbour still holds the other side. Close what is not wanted in the child itself, as its first act.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check uvloop==0.23.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import asyncio
import os
import sys

import uvloop

LOOK = "import os, sys; print(os.path.exists(f'/proc/self/fd/{sys.argv[1]}'))"


async def child_has_it() -> bool:
    made = os.open(os.devnull, os.O_RDONLY)
    descriptor = os.dup2(made, 200)  # a number that no loop takes for itself; dup2 makes it inheritable
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOK, str(descriptor), stdout=asyncio.subprocess.PIPE, close_fds=True
    )
    output, _ = await child.communicate()
    os.close(descriptor)
    os.close(made)
    return output.strip() == b"True"


plain, fast = asyncio.run(child_has_it()), uvloop.run(child_has_it())
print(f"asyncio: the child has the descriptor: {plain}; uvloop: the child has the descriptor: {fast}")
assert (plain, fast) == (False, True), "this has changed: uvloop closes a child's descriptors now"
PY
