"""llama.cpp's own HTTP server out of the wheel ``xllamacpp``: a program for a virtual environment that has that wheel and nothing of ours.

Its words: the GGUF, the port, how many slots, how many threads.
"""

import importlib
import json
import sys
from typing import Any

CONTEXT = 1024  # tokens of each slot


def serve(model: str, port: int, slots: int, threads: int) -> None:
    """Start it, say on a line of JSON what it was built for, and serve until standard input ends."""
    llama: Any = importlib.import_module("xllamacpp")
    parameters = llama.CommonParams()
    parameters.model.path = model
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = slots
    parameters.n_ctx = slots * CONTEXT
    parameters.cont_batching = True
    parameters.fit_params = False  # nothing is made smaller than it is asked for
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib = 0  # what slots held is not copied away: no two prompts have more than the template in common
    parameters.ui = False
    parameters.verbosity = 1
    server = llama.Server(parameters)
    sys.stdout.write(json.dumps({"url": server.listening_address, "built_for": llama.get_system_info()}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _, model, *numbers = sys.argv
    serve(model, *map(int, numbers))
