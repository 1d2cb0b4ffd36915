"""Become a program that does not outlive its parent: ``python -I -S tether.py PARENT_PID PROGRAM ARGUMENT...``.

A supervisor that is killed outright cannot stop its children; the kernel does it instead. This file stands alone, without an import
of ours, because it runs before every child and must cost milliseconds only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_FOUND = 127


def main() -> None:
    """Ask for SIGKILL at the parent's death, then become the program. Kept over exec, not handed on to the program's own children."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(NOT_FOUND)  # it died before we asked
    try:
        os.execv(command[0], command)  # noqa: S606 - the supervisor's own list, no shell
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(NOT_FOUND)


if __name__ == "__main__":
    main()
