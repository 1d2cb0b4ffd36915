"""XML of any kind, with the names and attributes of its elements. Nothing outside of the file is read, and entities stay small."""

from collections.abc import Iterator
from typing import Any

from lxml import etree

from core.errors import BadRequest
from pipelines.parsing.draft import Draft, on_one_line


def read_xml(content: bytes, draft: Draft) -> None:
    """Of each child of the root a paragraph, with a line for each text and attribute: ``book/title: Dune``, ``book@isbn: 0441``."""
    # Without huge_tree libxml2 bounds depth, names and the growth of entities, which are resolved only where the file itself defines them.
    parser = etree.XMLParser(resolve_entities="internal", no_network=True, load_dtd=False, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        message = f"It is not XML that can be read: {error}. Mend it and upload it again."
        raise BadRequest(message) from error
    name = _name(root)
    draft.describe("root", name)
    lines = [f"{name}@{attribute}: {value}" for attribute, value in _iter_attributes(root)]
    own_text = on_one_line(root.text or "")
    if own_text:
        lines.append(f"{name}: {own_text}")
    draft.add_text("\n".join(lines))
    for child in root:
        draft.add_text("\n".join(_iter_lines(child)))
        if tail := on_one_line(child.tail or ""):
            draft.add_text(f"{name}: {tail}")


def _iter_lines(top: Any) -> Iterator[str]:
    """In document order, without recursion. An element with text between its children is one line: that is prose."""
    stack = [("", top)]
    while stack:
        above, element = stack.pop()
        path = f"{above}/{_name(element)}" if above else _name(element)
        for attribute, value in _iter_attributes(element):
            yield f"{path}@{attribute}: {value}"
        if not len(element) or _is_prose(element):
            text = on_one_line("".join(element.itertext()))
            if text:
                yield f"{path}: {text}"
            for inner in element.iterdescendants():
                yield from (f"{path}//{_name(inner)}@{attribute}: {value}" for attribute, value in _iter_attributes(inner))
        else:
            stack.extend((path, child) for child in reversed(element))


def _is_prose(element: Any) -> bool:
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _name(element: Any) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else str(getattr(element, "name", "entity"))


def _iter_attributes(element: Any) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        if value := on_one_line(value):
            yield etree.QName(name).localname, value
