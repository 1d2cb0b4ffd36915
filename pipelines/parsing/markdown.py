"""Markdown, as CommonMark with tables and strikethrough reads it."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from core.errors import BadRequest
from pipelines.parsing.draft import Draft, clean
from pipelines.parsing.encodings import decode

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^([A-Za-z_][\w .-]*):[ \t]*(.*(?:\n(?:[ \t]+|- ).*)*)", re.MULTILINE)
_TAG = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)
_MAX_NESTING = 50  # of lists and quotes, of which a list's item takes two
_TOO_DEEP = "It is nested too deeply to be read. Make it flatter, or save it as text."
_ABSOLUTE = ("http://", "https://", "mailto:", "ftp://")


def read_markdown(content: bytes, draft: Draft) -> None:
    """Front matter becomes metadata, all else elements."""
    add_markdown(clean(decode(content)), draft)


def add_markdown(text: str, draft: Draft) -> None:
    """A whole document, into the draft."""
    if front := _FRONT_MATTER.match(text):
        fields = _FIELD.findall(front[1])
        if fields:
            text = text[front.end() :]
        for name, value in fields:
            draft.describe(name, value.strip().strip("\"'"))
            if name.lower() == "title":
                draft.title = draft.title or value.strip().strip("\"'")
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        raise BadRequest(_TOO_DEEP)  # it leaves out what is deeper, without an error
    for node in SyntaxTreeNode(tokens).children:
        _add(node, draft, depth=0, number=None)


def _add(node: SyntaxTreeNode, draft: Draft, *, depth: int, number: str | None) -> None:
    """``depth``: how many lists it stands in; ``number``: of the item that it begins, if it does."""
    kind = node.type
    if kind == "heading":
        draft.add_title(_render(node.children), int(node.tag[1:]))
    elif kind == "paragraph":
        text = (number or "") + _render(node.children)
        if number is not None:
            draft.add_item(text, depth)
        else:
            draft.add_text(text)
    elif kind in {"fence", "code_block"}:
        draft.add_code(node.content)
    elif kind == "table":
        head, *body = [[_render(cell.children) for cell in row.children] for part in node.children for row in part.children]
        draft.add_table(head, body)
    elif kind in {"bullet_list", "ordered_list"}:
        _add_list(node, draft, depth + 1)
    elif kind == "html_block":
        draft.add_text(_strip_tags(node.content))
    elif kind != "hr":
        for child in node.children:
            _add(child, draft, depth=depth, number=None)


def _add_list(node: SyntaxTreeNode, draft: Draft, depth: int) -> None:
    first = int(node.attrGet("start") or 1)
    for place, item in enumerate(node.children):
        number: str | None = f"{first + place}. " if node.type == "ordered_list" else ""
        for child in item.children:
            _add(child, draft, depth=depth, number=number)
            number = None


def _render(nodes: Sequence[SyntaxTreeNode]) -> str:
    """Inline content as text: addresses of links stay, where they are absolute, and what pictures show."""
    return "".join(map(_render_one, nodes))


def _render_one(node: SyntaxTreeNode) -> str:
    if node.type in {"text", "code_inline", "text_special"}:
        return node.content
    if node.type in {"softbreak", "hardbreak"}:
        return "\n"
    if node.type == "html_inline":
        return _render_tag(node.content)
    inner = _render(node.children)
    if node.type == "image":
        described = inner or _content_of(node.token)
        return f"[Image: {described}]" if described else ""
    if node.type == "link":
        address = str(node.attrGet("href") or "")
        return f"{inner} ({address})" if address.startswith(_ABSOLUTE) and address.removeprefix("mailto:") not in inner else inner
    return inner


def _content_of(token: Token | None) -> str:
    return token.content if token else ""


def _render_tag(tag: str) -> str:
    if tag.startswith("<br"):
        return "\n"
    return "^" if tag == "<sup>" else ""  # 500<sup>1</sup> is not 5001


def _strip_tags(html: str) -> str:
    return _TAG.sub("", html.replace("<sup>", "^"))
