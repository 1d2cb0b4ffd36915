"""A parser in a process of its own: ``python -P parsing_process.py ours|theirs FOLDER ENDING``.

A line of numbers on standard input, ``0 0``, has it read all files of that ending in the folder and say the processor time in seconds;
``1 0`` says how long that took by the clock, ``2 0`` whether it has a model of spaCy, 1 or 0. Each answer is a line of JSON.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path


def ours() -> tuple[Callable[[Path], object], bool]:
    """The product's, and that it has no model."""
    from pipelines.parsing import parse  # noqa: PLC0415 - each side loads its own

    return lambda path: parse(path, path.name), False


def theirs() -> tuple[Callable[[Path], object], bool]:
    """unstructured's, and whether it has its model: it is not let download one, for it would install that here."""
    os.environ["DO_NOT_TRACK"] = "true"  # noqa: TID251 - before it is imported: nothing is reported
    import spacy  # noqa: PLC0415 - each side loads its own
    from unstructured.nlp import tokenize  # noqa: PLC0415
    from unstructured.partition.auto import partition  # noqa: PLC0415

    has_model = spacy.util.is_package(vars(tokenize)["_SPACY_MODEL_NAME"])
    if not has_model:
        blank = spacy.blank("en")
        blank.add_pipe("sentencizer")
        vars(tokenize)["_get_nlp"] = lambda: blank
    return lambda path: partition(filename=str(path)), has_model


def main() -> None:
    """Ready when every file has been read once."""
    _, side, folder, ending = sys.argv
    read, has_model = ours() if side == "ours" else theirs()
    paths = sorted(Path(folder).glob(f"*.{ending}"))
    for path in paths:
        read(path)
    _say({"threads": 1})
    waited = 0.0
    for line in sys.stdin:
        what, _ = map(int, line.split())
        if what == 0:
            began, used = time.perf_counter(), time.process_time()
            for path in paths:
                read(path)
            waited = time.perf_counter() - began
            _say({"gave": time.process_time() - used})
        else:
            _say({"gave": waited if what == 1 else float(has_model)})


def _say(told: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
