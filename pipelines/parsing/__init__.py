"""Files into documents, whatever type they are. Pure and synchronous, for a child under limits; nothing here reaches the network.

A file's type is found by its name and its content (``formats``), an archive is looked at before anything opens it (``archives``), and one
module a family reads it into a draft (``draft``). Nothing is lost in silence: the document's ``missing`` says what could not be taken.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from core.errors import BadRequest
from core.models.documents import ParsedDocument
from pipelines.parsing.archives import check_archive
from pipelines.parsing.draft import Draft
from pipelines.parsing.formats import Format, find_format

__all__ = ["parse"]

# Loaded when they are first needed: unstructured alone takes seconds.
_READERS = {
    Format.TEXT: "text:read_text",
    Format.CODE: "text:read_code",
    Format.DELIMITED: "delimited:read_delimited",
    Format.JSON: "data:read_json",
    Format.NDJSON: "data:read_ndjson",
    Format.NOTEBOOK: "notebooks:read_notebook",
    Format.XML: "xml:read_xml",
    Format.MARKDOWN: "markdown:read_markdown",
    Format.PDF: "pdf:read_pdf",
    Format.XLSX: "sheets:read_sheets",
    Format.HTML: "html:read_html",
    Format.DOCX: "docx:read_docx",
    Format.PPTX: "slides:read_slides",
    Format.EML: "mail:read_eml",
    Format.MSG: "mail:read_msg",
    Format.SUBTITLES: "subtitles:read_subtitles",
    Format.ODT: "pandoc:read_odt",
    Format.RTF: "pandoc:read_rtf",
    Format.EPUB: "pandoc:read_epub",
}
_ARCHIVES = frozenset({Format.XLSX, Format.DOCX, Format.PPTX, Format.ODT, Format.EPUB})
# Read by libraries, which raise whatever comes over a damaged file.
_FOREIGN = _ARCHIVES | {Format.HTML, Format.EML, Format.MSG, Format.PDF, Format.RTF}

_EMPTY = "It is empty. Upload a file with text in it."
_NO_TEXT = "No text was found in it. Upload a file with text in it."
_TOO_DEEP = "It is nested too deeply to be read. Make it flatter, or save it as another type."


def parse(path: Path, filename: str) -> ParsedDocument:
    """The document in the file at ``path``, which its owner calls ``filename``.

    Raises BadRequest, with what to do, for a file of a type that cannot be read, that is encrypted, damaged, empty or without text, whose
    name and content differ, that is nested too deeply, or that is too large when it is unpacked. A crash of a parser is not caught here.
    """
    content = path.read_bytes()
    if not content.strip(b"\0 \t\r\n"):
        raise BadRequest(_EMPTY)
    format_ = find_format(content, filename)
    if format_ in _ARCHIVES:
        check_archive(content)
    draft = Draft()
    try:
        _find_reader(format_)(content, draft)
    except RecursionError:
        raise BadRequest(_TOO_DEEP) from None
    except (BadRequest, MemoryError):
        raise
    except Exception as error:
        if format_ not in _FOREIGN:
            raise  # a bug of ours
        message = f"It is damaged, so that it cannot be read as {format_} ({type(error).__name__}: {error}). Save or upload it again."
        raise BadRequest(message) from error
    document = draft.finish(format_)
    if not document.characters:
        raise BadRequest(" ".join((_NO_TEXT, *document.missing)))
    return document


def _find_reader(format_: Format) -> Callable[[bytes, Draft], None]:
    module, _, function = _READERS[format_].partition(":")
    reader: Callable[[bytes, Draft], None] = getattr(import_module(f"{__name__}.{module}"), function)
    return reader
