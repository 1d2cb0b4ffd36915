#!/usr/bin/env bash
# SQLite 3.54.1 (apsw 3.54.1.0), FTS5: a set of rowids beside MATCH makes the words be looked up once for each rowid, not once.
#
# The guess: "passages MATCH 'water' AND rowid IN (SELECT id FROM allowed)" finds the rows with the word once, and keeps those in the set;
# to give the rowids can only help, as it does with any other table.
# What happens: FTS5 offers the planner a lookup by rowid, which looks cheap, so the planner takes it: for each id of the set the query is
# begun anew, and each beginning reads the word's list again. With a plus before the column, which only keeps the planner from using it as
# an index, the word is looked up once and the set is asked for each row that has it. The rows are the same.
# Seen, with 5,000 passages that have the word and a set of 2,500: 2,500 rows both ways; the plans "INDEX 0:=M1" and "INDEX 0:M1"; with the
# plus 17 to 25 times as fast.
# What it costs: full-text search with a filter of what a user may see, or of the chunks of some files, takes longer with the number of
# rows times the length of the word's list: seconds for what takes milliseconds, and only once there is much data.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check apsw==3.54.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import time

import apsw

PASSAGES, EVERY = 5_000, 2
database = apsw.Connection(":memory:")
database.execute("CREATE VIRTUAL TABLE passages USING fts5(text); CREATE TABLE allowed(id INTEGER PRIMARY KEY)")
with database:
    texts = ((number, f"water mill {number} " + "river stone " * 20) for number in range(1, PASSAGES + 1))
    database.executemany("INSERT INTO passages(rowid, text) VALUES(?, ?)", texts)
    database.executemany("INSERT INTO allowed VALUES(?)", ((number,) for number in range(1, PASSAGES + 1, EVERY)))


def ask(column: str) -> tuple[int, float, str]:
    """How many rows, the best of five times in seconds, and the plan."""
    query = f"SELECT count(*) FROM passages WHERE passages MATCH 'water' AND {column} IN (SELECT id FROM allowed)"
    times = []
    for _ in range(5):
        began = time.perf_counter()
        ((found,),) = database.execute(query)
        times.append(time.perf_counter() - began)
    return found, min(times), next(iter(database.execute("EXPLAIN QUERY PLAN " + query)))[3]


plain, kept = ask("rowid"), ask("+rowid")
for column, (found, took, plan) in (("rowid", plain), ("+rowid", kept)):
    print(f"{column} IN (...): {found} rows, {took * 1000:.1f} ms, {plan}")
assert plain[0] == kept[0] == PASSAGES // EVERY
assert plain[1] > 5 * kept[1], "this has changed: a set of rowids no longer has the words looked up for each"
PY
