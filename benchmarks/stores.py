"""The document stores that benchmarks run over: the embedded one, and servers that speak MongoDB's protocol."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import servers

GIVEN = os.environ.get("PENSTOCK_TEST_MONGO_URL", "").rstrip("/")  # noqa: TID251 - a setting of the tests
EMBEDDED, FERRETDB = "SQLite", "FerretDB"
STORES = (EMBEDDED, "MongoDB" if GIVEN else "mongo-java-server", FERRETDB)


@contextmanager
def open_store(store: str, folder: Path) -> Iterator[str]:
    """A store's URL, of an empty database; "" for the embedded one. What its server writes goes below ``folder``."""
    if store == EMBEDDED:
        yield ""
    elif store == "MongoDB":
        yield f"{GIVEN}/bench_{uuid.uuid4().hex[:8]}"
    else:
        own = folder / store
        own.mkdir()
        with (servers.ferretdb_server if store == FERRETDB else servers.mongo_server)(own) as url:
            yield f"{url}/bench"
