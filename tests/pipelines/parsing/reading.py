"""Files written for a test and read as the product reads them."""

import tempfile
from pathlib import Path

import pytest

from core.errors import BadRequest
from core.models.documents import Element, ElementKind, ParsedDocument
from pipelines.parsing import parse


def read(name: str, content: bytes | str) -> ParsedDocument:
    """What is made of a file of this name."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        return parse(Path(file.name), name)


def refuse(name: str, content: bytes | str) -> str:
    """Why it cannot be read."""
    with pytest.raises(BadRequest) as caught:
        read(name, content)
    return caught.value.detail


def texts(document: ParsedDocument) -> list[str]:
    return [element.text for element in document.elements]


def tables(document: ParsedDocument) -> list[Element]:
    return [element for element in document.elements if element.kind is ElementKind.TABLE]


def outline(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(element.kind.value, element.text) for element in document.elements]
