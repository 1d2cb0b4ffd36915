"""unstructured without what it downloads, reports or guesses: its partitioners of HTML and Word, fast and offline.

unstructured 0.27 imports spaCy, of which it downloads a model at the first paragraph to tell titles from prose, and finds a language for
every element. Titles here are what the document says are titles, so that all of it is left out: the module that holds spaCy is loaded
without it (24 s and 500 MB less at the start), its three functions are plain ones, and the partitioners are called below the decorators
that report, hash and find languages.
"""

import inspect
import io
import os
import re
import sys
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from docx.oxml.ns import nsmap, qn
from lxml import etree

if TYPE_CHECKING:
    from unstructured.documents.elements import Element

_SENTENCE = re.compile(r".+?[.!?]+(?:\s+|$)|.+", re.DOTALL)

_LEFT_OUT_OF_WORD: dict[str, Any] = {  # a guess at what a paragraph is, and what of it is emphasised or a link: half of its time
    "_parse_paragraph_text_for_element_type": None,
    "_paragraph_emphasis": ([], []),
    "_paragraph_link_meta": ([], [], []),
}

_TEXTS_OF_RUNS = tuple(map(qn, ("w:br", "w:cr", "w:noBreakHyphen", "w:ptab", "w:t", "w:tab")))

os.environ.setdefault("DO_NOT_TRACK", "1")  # noqa: TID251 - no setting of ours: unstructured reads it when it is imported


@lru_cache(maxsize=256)  # some name what is in a document
def _compiled(path: str) -> Any:
    """What python-docx asks of every paragraph several times over, parsed once."""
    return etree.XPath(path, namespaces=nsmap)


def _load() -> tuple[Any, Any]:
    known = sys.modules.get("spacy")
    if known is None:
        sys.modules["spacy"] = ModuleType("spacy")
    try:
        tokenize = import_module("unstructured.nlp.tokenize")
    finally:
        if known is None:
            del sys.modules["spacy"]
    # Before anything imports these names from there.
    vars(tokenize).update(
        sent_tokenize=_SENTENCE.findall,
        word_tokenize=str.split,
        pos_tag=lambda text: [(word, "VB") for word in text.split()],
    )
    prose = import_module("unstructured.documents.elements").NarrativeText
    html, docx = import_module("unstructured.partition.html.partition"), import_module("unstructured.partition.docx")
    parser = import_module("unstructured.partition.html.parser")
    vars(parser)["derive_element_type_from_text"] = lambda _: prose  # which loses a text of one character
    partitioner = vars(docx)["_DocxPartitioner"]
    for method, given in _LEFT_OUT_OF_WORD.items():
        setattr(partitioner, method, lambda *_, given=given: given)
    import_module("docx.oxml.xmlchemy").BaseOxmlElement.xpath = lambda element, path: _compiled(path)(element)
    run = import_module("docx.oxml.text.run").CT_R
    run.text = run.text.getter(lambda element: "".join(map(str, element.iterchildren(*_TEXTS_OF_RUNS))))
    return inspect.unwrap(html.partition_html), inspect.unwrap(docx.partition_docx)


_partition_html, _partition_docx = _load()


def partition_html(html: str) -> "list[Element]":
    """Elements of a page, none of them a title but headings."""
    elements: list[Element] = _partition_html(text=html)
    return elements


def partition_docx(content: bytes) -> "list[Element]":
    """Elements of a document of Word. Page breaks are counted but no elements."""
    elements: list[Element] = _partition_docx(file=io.BytesIO(content), include_page_breaks=False, infer_table_structure=False)
    return elements
