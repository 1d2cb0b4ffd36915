"""The embedded store's tables, and the statements over them.

Of each space there are three tables beside each other, row by row: ``points`` holds what is given back and the exact vector, ``signs`` a
bit for each of its numbers (is it above zero?), ``words`` the index of words. No ``vec0`` table: as version 0.1.9 has it, its k best cost
more than reading the rows (at 100,000 points of 384 numbers 270 ms for 1,000 of its bits), its deleted rows keep their place, and
its filters work for some operators on some values. Bits are compared in memory (``sqlite_vec_signs``), exact vectors by sqlite-vec.

A file's generation in a collection is an ``edition``, one number: visibility is a condition on that column. Ids are never used again, so
that whoever has read the rows up to one knows all that they were.
"""

from collections.abc import Collection, Sequence

import apsw
import msgspec

from core.storage.vectors.port import POOL, Selection

CANDIDATES = 1_000
"""Of more than EXACT_POINTS, so many are taken by their bits, and put in order by their exact vectors."""

EXACT_POINTS = 2_000

TIMES = "times"

COMMON = (
    """CREATE TABLE IF NOT EXISTS spaces (
        id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, dimensions INTEGER NOT NULL, UNIQUE (model, dimensions))""",
    "CREATE TABLE IF NOT EXISTS homes (id INTEGER PRIMARY KEY, collection TEXT NOT NULL UNIQUE)",
    """CREATE TABLE IF NOT EXISTS editions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL, home INTEGER NOT NULL, file TEXT NOT NULL,
        generation INTEGER NOT NULL,
        UNIQUE (space, home, file, generation))""",
)


class Tables(msgspec.Struct, frozen=True):
    """The names of a space's tables, by its number."""

    space: int

    @property
    def points(self) -> str:
        """What is given back."""
        return f"points_{self.space}"

    @property
    def signs(self) -> str:
        """A bit for each number of a vector."""
        return f"signs_{self.space}"

    @property
    def words(self) -> str:
        """The index of words; it keeps no text."""
        return f"words_{self.space}"

    @property
    def instances(self) -> str:
        """Each place where a word is."""
        return f"instances_{self.space}"

    def create(self) -> tuple[str, ...]:
        """The statements that make them. Words come as ``words.split`` gives them, so the tokenizer has only to see spaces."""
        return (
            f"""CREATE TABLE IF NOT EXISTS {self.points} (
                id INTEGER PRIMARY KEY AUTOINCREMENT, home INTEGER NOT NULL, edition INTEGER NOT NULL, key TEXT NOT NULL,
                position INTEGER NOT NULL,
                text TEXT NOT NULL, headings TEXT NOT NULL, pages TEXT NOT NULL, metadata TEXT NOT NULL, vector BLOB NOT NULL,
                UNIQUE (edition, key))""",
            f"CREATE TABLE IF NOT EXISTS {self.signs} (id INTEGER PRIMARY KEY, edition INTEGER NOT NULL, bits BLOB NOT NULL)",
            f"""CREATE VIRTUAL TABLE IF NOT EXISTS {self.words} USING fts5(
                home, words, content='', contentless_delete=1, tokenize="ascii tokenchars '+#'")""",
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {self.instances} USING fts5vocab({self.words}, instance)",
        )

    def drop(self) -> tuple[str, ...]:
        """The statements that remove them."""
        return tuple(f"DROP TABLE IF EXISTS {table}" for table in (self.instances, self.words, self.signs, self.points))

    def nearest(self, condition: str) -> str:
        """The nearest of all, exactly. Bindings: the vector."""
        distance = "vec_distance_cosine(vector, ?) AS distance"
        return f"SELECT id, {distance} FROM {self.points} WHERE {condition} ORDER BY distance LIMIT {POOL}"  # noqa: S608 - numbers and names of our own, as everywhere here

    def containing(self) -> str:
        """The rows that have a word, as one text, in order, a row as often as it has it. Bindings: the word.

        Faster than row by row with anything that FTS5 tells of each: up to six times.
        """
        return f"SELECT coalesce(group_concat(doc), '') FROM {self.instances} WHERE term = ?"  # noqa: S608

    def newer(self) -> str:
        """Of the rows behind one, those that have a word, and how often. Bindings: ``question``, the row."""
        return f"SELECT rowid, {TIMES}({self.words}) FROM {self.words} WHERE {self.words} MATCH ? AND rowid > ?"  # noqa: S608


def times(api: apsw.FTS5ExtensionApi, *_: object) -> int:
    """How often a row has what was asked for: ``TIMES`` in SQL."""
    return api.inst_count


def numbers(values: Collection[int]) -> str:
    """Numbers of our own as a list in SQL: no statement has room for ten thousand bindings."""
    return f"({', '.join(map(str, values))})"


def question(word: str) -> str:
    """An FTS5 query for one word. It is quoted: ``C++`` bare is a syntax error, ``OR`` an operator."""
    return f'words : "{word}"'


def home_word(home: int) -> str:
    """A collection's number as a word that no text has: in texts # stands behind letters only."""
    return f"#{home}"


def conditions(selection: Selection, space: int) -> tuple[str, list[object]]:
    """A selection as a condition on a space's points, with its bindings."""
    editions = "space = ? AND home = (SELECT id FROM homes WHERE collection = ?)"
    values: list[object] = [space, selection.collection]
    if selection.files is not None:
        editions += " AND file IN (SELECT value FROM json_each(?))"
        values.append(_texts(selection.files))
    if selection.generation is not None:
        editions += " AND generation = ?"
        values.append(selection.generation)
    if selection.before is not None:
        editions += " AND generation < ?"
        values.append(selection.before)
    condition = f"edition IN (SELECT id FROM editions WHERE {editions})"  # noqa: S608
    if selection.ids is not None:
        condition += " AND key IN (SELECT value FROM json_each(?))"
        values.append(_texts(selection.ids))
    return condition, values


def _texts(values: Sequence[str]) -> str:
    return msgspec.json.encode(values).decode()
