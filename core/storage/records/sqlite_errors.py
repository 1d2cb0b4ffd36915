"""What went wrong in SQLite, for somebody who has not read its manual."""

import apsw

from core.errors import BadRequest, Conflict, PenstockError, Unavailable

_FAULTS: dict[tuple[type[apsw.Error], ...], str] = {
    (apsw.FullError,): "The disk of the data folder is full. Free some space; what was stored before is safe.",
    (apsw.ReadOnlyError, apsw.PermissionsError): "The database may not be written. Check who owns the data folder and the files in it.",
    (
        apsw.CantOpenError,
        apsw.IOError,
    ): "The database cannot be read or written. Check that the data folder is there and its disk is sound.",
    (apsw.BusyError, apsw.LockedError): "The database is busy with another process's writing. Try again in a moment.",
    (apsw.CorruptError, apsw.NotADBError): (
        "A file of the data folder, penstock.db or vectors.db, is damaged, or not a database. Put a backup in its place, or move it away."
    ),
}


def explain(error: apsw.Error) -> PenstockError:
    """The error of ours that stands for SQLite's."""
    if isinstance(error, apsw.ConstraintError):
        return Conflict("Something with the same id or the same unique value is already there.")
    if isinstance(error, apsw.TooBigError):
        return BadRequest("That is too large to be stored in one piece.")
    if "malformed JSON" in str(error):
        return BadRequest("The JSON is nested too deeply to be stored.")
    for kinds, detail in _FAULTS.items():
        if isinstance(error, kinds):
            return Unavailable(detail)
    return Unavailable(f"The database failed: {error}.")
