"""OpenDocument text, RTF and EPUB: turned into HTML by pandoc, without files or network, then read as that."""

import subprocess

import pypandoc

from core.errors import BadRequest
from core.models.documents import ElementKind
from pipelines.parsing.draft import Draft
from pipelines.parsing.html import add_html

_TIMEOUT_S = 300
_MAX_SAID = 200
_NO_TITLE = "-"  # what pandoc calls a page of which it knows none


def read_odt(content: bytes, draft: Draft) -> None:
    """A text document of LibreOffice, with its footnotes at the end."""
    _read(content, "odt", draft)


def read_rtf(content: bytes, draft: Draft) -> None:
    """Rich text, with its footnotes at the end."""
    # LibreOffice writes footnotes as what may be passed over, and pandoc does pass them over.
    _read(content.replace(rb"{\*\footnote", rb"{\footnote"), "rtf", draft)


def read_epub(content: bytes, draft: Draft) -> None:
    """A book. Chapters are in the book's order."""
    _read(content, "epub", draft)


def _read(content: bytes, name: str, draft: Draft) -> None:
    options = [f"--from={name}", "--to=html", "--standalone", "--sandbox", "--wrap=none", "--mathml", "--quiet"]
    try:
        done = subprocess.run([pypandoc.get_pandoc_path(), *options], input=content, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - our own list
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"It could not be read ({type(error).__name__}). Save it as .docx or PDF."
        raise BadRequest(message) from error
    if done.returncode:
        message = f"It is damaged ({done.stderr.decode(errors='replace').strip()[:_MAX_SAID]}). Save it again, or as .docx or PDF."
        raise BadRequest(message)
    add_html(done.stdout.decode("utf-8", "replace"), draft)
    if draft.title == _NO_TITLE:
        draft.title = next((element.text for element in draft.elements if element.kind is ElementKind.TITLE), "")
