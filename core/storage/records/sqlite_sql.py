"""The port's filters and orders as SQL over a record's JSON text. Names come from declarations in code, values are always bound."""

from typing import Any

from core.storage.records.port import KEY, Collection, Contains, Filter, In, Index, Order, Range, Value, check_scalar, fold_case

_BOUNDS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}


def column(field: str) -> str:
    """A field as SQL: written one way only, because an index on an expression serves those that spell it alike."""
    return "key" if field == KEY else f"json_extract(body, '$.\"{field}\"')"


def table(collection: Collection) -> str:
    """The statement that makes a collection."""
    return f'CREATE TABLE IF NOT EXISTS "{collection.name}" (key TEXT PRIMARY KEY NOT NULL, body TEXT NOT NULL)'


def index(collection: Collection, declared: Index) -> str:
    """The statement that makes an index; the key at its end spares sorting among equals."""
    name = f"{collection.name}_{'_'.join(declared.fields)}"
    columns = ", ".join(map(column, declared.fields))
    if declared.unique:
        return f'CREATE UNIQUE INDEX IF NOT EXISTS "{name}" ON "{collection.name}" ({columns})'
    return f'CREATE INDEX IF NOT EXISTS "{name}" ON "{collection.name}" ({columns}, key)'


def conditions(where: Filter, order: Order | None = None) -> tuple[str, list[Any]]:
    """A WHERE clause with its bindings; an order's ``after`` is a condition too."""
    tests: list[str] = []
    bindings: list[Any] = []
    for field, wanted in where.items():
        name = column(field)
        if isinstance(wanted, In):
            tests.append(f"{name} IN ({', '.join('?' * len(wanted.values))})")
            bindings.extend(map(check_scalar, wanted.values))
        elif isinstance(wanted, Range):
            for bound, operator in _BOUNDS.items():
                value = getattr(wanted, bound)
                if value is not None:
                    tests.append(f"{name} {operator} ?")
                    bindings.append(check_scalar(value))
        elif isinstance(wanted, Contains):
            tests.append(f"instr({name}, ?) > 0")
            bindings.append(fold_case(wanted.text))
        elif wanted is None:
            tests.append(f"{name} IS NULL")
        else:
            tests.append(f"{name} = ?")
            bindings.append(check_scalar(wanted))
    if order and order.after:
        _behind(order, order.after, tests, bindings)
    return " AND ".join(tests) or "1", bindings


def ordering(order: Order | None) -> str:
    """An ORDER BY clause, or nothing."""
    if order is None:
        return ""
    way = " DESC" if order.descending else ""
    return f" ORDER BY {column(order.field)}{way}, key{way}"


def _behind(order: Order, place: tuple[Value, str], tests: list[str], bindings: list[Any]) -> None:
    name, operator = column(order.field), "<" if order.descending else ">"
    tests.append(f"{name} {operator}= ? AND ({name} {operator} ? OR key {operator} ?)")
    bindings.extend((place[0], place[0], place[1]))
