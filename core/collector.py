"""Python's garbage collector, in a process that serves."""

import gc

AFTER = 10_000  # new containers; a long chat's messages alone are some thousand


def spare_the_collector() -> None:
    """What is there at the start stays for good: looking for garbage in it would hold up everybody, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(AFTER)
