"""Files that are broken, mislabelled or mean harm, by what is the matter with them. None is too much for the libraries that read it."""

import io
import zipfile
from collections.abc import Mapping

import docx
import openpyxl
import pptx

from tests.pipelines.parsing.pdfs import write_pdf

WORD, OLE = "word/document.xml", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
Files = dict[str, bytes]


def pack(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def documents() -> Files:
    """One good file of each kind that is written by a library."""
    word, sheet, slides = docx.Document(), openpyxl.Workbook(), pptx.Presentation()
    word.add_paragraph("The mill grinds corn.")
    assert sheet.active
    sheet.active.append(["mill", "corn"])
    slides.slides.add_slide(slides.slide_layouts[5]).shapes.title.text = "The mill"
    written = {}
    for name, document in (("docx", word), ("xlsx", sheet), ("pptx", slides)):
        content = io.BytesIO()
        document.save(content)
        written[name] = content.getvalue()
    return {**written, "pdf": write_pdf(["The mill grinds corn."])}


def broken() -> Files:
    """None of these can be read, whatever is tried: each is to fail with its reason."""
    good = documents()
    cut = {f"cut-at-{part}.{kind}": data[: len(data) * part // 100] for kind, data in good.items() if kind != "pdf" for part in (5, 40, 80)}
    locked, lying = bytearray(pack({WORD: b"<x/>"})), bytearray(pack({WORD: b"<x>some text</x>"}, zipfile.ZIP_STORED))
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    lying[lying.index(b"some")] = 0
    nested = pack({"x": b"x"})
    for _ in range(4):
        nested = pack({"inner.zip": nested}, zipfile.ZIP_STORED)
    inner = pack({"bomb": bytes(20 << 20)})
    return {
        **cut,
        "cut-at-5.pdf": good["pdf"][:40],
        "spaces.txt": b" \r\n\t\n",
        "zeros.pdf": bytes(1000),
        "zeros.docx": bytes(1000),
        "words.pdf": b"plain words",
        "page.docx": b"<html>",
        "words.msg": b"words",
        "archive.xlsx": pack({"x": b"x"}),
        "archive.zip": pack({"a.txt": b"x"}),
        "words.zip": b"x",
        "old.doc": b"x",
        "old.txt": OLE + "WordDocument".encode("utf-16-le"),
        "mail.msg": OLE + bytes(600) + "__properties_version1.0".encode("utf-16-le"),
        "picture.txt": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "program.py": b"\x7fELF\x02\x01\x01\0",
        "noise.bin": bytes(range(256)) * 8,
        "no-xml.docx": pack({WORD: b"<not xml"}),
        "hollow.docx": pack({WORD: b"<x/>"}),
        "hollow.xlsx": pack({"xl/workbook.xml": b"<x"}),
        "hollow.pptx": pack({"ppt/presentation.xml": b"<x"}),
        "hollow.odt": pack({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<x"}),
        "hollow.epub": pack({"mimetype": b"application/epub+zip"}),
        "open.rtf": b"{\\rtf1" + b"{" * 10,
        "bomb.docx": pack({WORD: b"a" * (20 << 20)}),
        "bomb-inside.docx": pack({WORD: b"<x/>", "word/embeddings/a.xlsx": inner}),
        "nested.docx": pack({WORD: b"<x/>", "a.zip": nested}),
        "wrong-sum.docx": bytes(lying),
        "locked.docx": bytes(locked),
        "locked.xlsx": OLE + bytes(500) + "EncryptedPackage".encode("utf-16-le"),
        "deep.json": b"[" * 100_000,
        "half.json": b'{"mill": ',
        "half.ipynb": b'{"cells": [',
    }


def odd() -> Files:
    """These may be read or refused, as long as it is said which and why."""
    text = "Die Mühle mahlt Körner, Wasser treibt das Rad. " * 20
    japanese, russian = "水車が回り、穀物を挽く。" * 20, "Мельница мелет зерно, вода вращает колесо. " * 20
    return {
        "latin.txt": text.encode("latin-1"),
        "windows.txt": ("“" + text + "”").encode("cp1252"),
        "utf-16.txt": text.encode("utf-16"),
        "utf-16-bare.txt": text.encode("utf-16-le"),
        "utf-32.txt": text.encode("utf-32"),
        "shift-jis.txt": japanese.encode("shift_jis"),
        "euc.txt": japanese.encode("euc_jp"),
        "koi8.txt": russian.encode("koi8_r"),
        "mixed.txt": text.encode() + text.encode("latin-1"),
        "half-character.txt": text.encode()[:-1] + b"\xc3",
        "wrong-mark.txt": b"\xff\xfe" + text.encode(),
        "said-otherwise.html": b'<meta charset="utf-8"><p>' + text.encode("latin-1"),
        "zero-inside.csv": b"a,b\n1,\x002\n",
        "ragged.csv": b"a,b\n1\n1,2,3,4\n\n",
        "one-line.csv": b"word," * 200_000,
        "quote.csv": b'a,"b\n' + b"c,d\n" * 1000,
        "number.json": b"1" + b"0" * 4000,
        "lines.ndjson": b'{"a": 1}\nnot json\n{"b": 2}\n',
        "nested.html": b"<div>" * 3_000 + b"mill" + b"</div>" * 3_000,
        "unclosed.html": b"<table><tr><td>mill<td>corn<p><b><i>" * 200,
        "entities.xml": b'<!DOCTYPE x [<!ENTITY a "mill"><!ENTITY b "&a;&a;">]><x>&b;</x>',
        "nested.md": b"".join(b"  " * depth + b"- mill\n" for depth in range(200)),
        "broken.srt": b"1\n00:00:01,000 --> never\nmill\n\n2\n",
        "cut-at-60.pdf": documents()["pdf"][:-200],
        "wrong-places.pdf": documents()["pdf"].replace(b" 00000 n", b" 00001 n"),
        "really-word.pdf": documents()["docx"],
        "really-pdf.docx": documents()["pdf"],
        "../../climbing.txt": b"The mill grinds corn.",
        "..\\..\\climbing.txt": b"The mill grinds corn.",
        "C:\\mill\\corn.txt": b"The mill grinds corn.",
        "mill\u202egrind.txt": b"The mill grinds corn.",
        "m" * 3_000 + ".txt": b"The mill grinds corn.",
    }
