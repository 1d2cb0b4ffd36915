"""How a SQLite file of the data folder is opened: WAL, several processes at once, for its owner only."""

import os
import time
from pathlib import Path

import apsw

from core.errors import SettingsError
from core.storage.records.sqlite_errors import explain

BUSY_TIMEOUT_MS = 10_000
WAL_RETRY_SECONDS = 0.01
CACHE_KIB = 16_384
OWNER_ONLY = 0o600


def connect(path: Path) -> apsw.Connection:
    """A connection as a store's threads want it, to a file that only its owner may read. Raises core.errors."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, OWNER_ONLY))
    except OSError as error:
        message = f"The data folder {path.parent} cannot be used ({error.strerror}). Set PENSTOCK_DATA_DIR to a folder you may write to."
        raise SettingsError(message) from None
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        _use_wal(connection)
        # A power cut may take the last moments, never the file; a crash of ours takes nothing.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    except apsw.Error as error:
        raise explain(error) from None
    return connection


def _use_wal(connection: apsw.Connection) -> None:
    """SQLite does not wait for others who turn a new file to WAL at the same moment, or leave it: it says at once that it is busy."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_SECONDS)
        else:
            return
