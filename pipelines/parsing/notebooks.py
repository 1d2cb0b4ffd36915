"""Jupyter notebooks: prose as Markdown, code as code, and what the code has printed."""

from typing import Any

import msgspec

from core.errors import BadRequest
from pipelines.parsing.draft import Draft
from pipelines.parsing.encodings import decode
from pipelines.parsing.markdown import add_markdown


class _Output(msgspec.Struct):
    text: str | list[str] = ""
    data: dict[str, Any] = {}
    ename: str = ""
    evalue: str = ""


class _Cell(msgspec.Struct):
    cell_type: str
    source: str | list[str] = ""
    outputs: list[_Output] = []


class _Notebook(msgspec.Struct):
    cells: list[_Cell]


def read_notebook(content: bytes, draft: Draft) -> None:
    """Cells in order. Pictures and other outputs without text are named."""
    try:
        notebook = msgspec.json.decode(decode(content), type=_Notebook)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        message = f"It is not a notebook of format 4 ({error}). Save it with Jupyter again."
        raise BadRequest(message) from error
    for number, cell in enumerate(notebook.cells, 1):
        source = "".join(cell.source)
        if cell.cell_type == "markdown":
            add_markdown(source, draft)
        elif cell.cell_type == "code":
            draft.add_code(source)
        else:
            draft.add_text(source)
        for output in cell.outputs:
            _add_output(output, number, draft)


def _add_output(output: _Output, number: int, draft: Draft) -> None:
    plain = output.data.get("text/plain", "")
    text = "".join(output.text) or ("".join(map(str, plain)) if isinstance(plain, list) else str(plain))
    if output.ename:
        text = f"{output.ename}: {output.evalue}"
    draft.add_code(text)
    for kind in output.data:
        if kind.startswith(("image/", "video/", "audio/")) or (not text and not kind.startswith("text/")):
            draft.miss(f"An output of cell {number} was left out: {kind}.")
