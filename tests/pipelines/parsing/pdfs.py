"""PDF files, written out by hand: text in Helvetica, and what else a page may have."""

from collections.abc import Sequence

FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
PICTURE = b"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>stream\n\x80\nendstream"
RESOURCES = "/Resources<</Font<</F 3 0 R>>/XObject<</P 4 0 R>>>>"


def write_pdf(
    *pages: Sequence[str] | None, annotations: Sequence[str] = (), outline: Sequence[tuple[str, int]] = (), extra: str = ""
) -> bytes:
    """Of each page its lines, or nothing but a picture. ``annotations`` are on the first page; ``outline``: titles with pages from 1.

    ``extra``: drawn on the first page, too.
    """
    objects: list[bytes] = [b"", b"", FONT, PICTURE]

    def add(content: bytes) -> int:
        objects.append(content)
        return len(objects)

    numbers = []
    notes = [add(annotation.encode("latin-1")) for annotation in annotations]
    for place, lines in enumerate(pages):
        drawn = "q 100 0 0 100 50 500 cm /P Do Q" if lines is None else _draw(lines) + (extra if place == 0 else "")
        stream = add(f"<</Length {len(drawn)}>>stream\n{drawn}\nendstream".encode("latin-1"))
        on_it = f"/Annots[{' '.join(f'{note} 0 R' for note in notes)}]" if notes and place == 0 else ""
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {stream} 0 R{RESOURCES}{on_it}>>"
        numbers.append(add(page.encode()))
    fields = (
        f"/AcroForm<</Fields[{' '.join(f'{note} 0 R' for note in notes)}]/DA(/F 12 Tf 0 g)/DR<</Font<</F 3 0 R>>>>>>"
        if "/Widget" in str(annotations)
        else ""
    )
    named = ""
    if outline:
        root = len(objects) + 1
        entries = [root + 1 + place for place in range(len(outline))]
        add(f"<</Type/Outlines/First {entries[0]} 0 R/Last {entries[-1]} 0 R/Count {len(entries)}>>".encode())
        for place, (title, page_number) in enumerate(outline):
            following = f"/Next {entries[place + 1]} 0 R" if place + 1 < len(entries) else ""
            add(f"<</Title({title})/Parent {root} 0 R/Dest[{numbers[page_number - 1]} 0 R/Fit]{following}>>".encode())
        named = f"/Outlines {root} 0 R"
    objects[0] = f"<</Type/Catalog/Pages 2 0 R{fields}{named}>>".encode()
    objects[1] = f"<</Type/Pages/Kids[{' '.join(f'{number} 0 R' for number in numbers)}]/Count {len(numbers)}>>".encode()
    return _pack(objects)


def _draw(lines: Sequence[str]) -> str:
    shown = " T* ".join(f"({line}) Tj" for line in lines)
    return f"BT /F 12 Tf 14 TL 50 700 Td {shown} ET "


def _pack(objects: Sequence[bytes]) -> bytes:
    content = b"%PDF-1.7\n"
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(content))
    return content + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer
