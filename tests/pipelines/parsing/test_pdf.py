from tests.pipelines.parsing.pdfs import write_pdf
from tests.pipelines.parsing.reading import outline, read, refuse, texts


def test_pages_have_numbers() -> None:
    document = read("a.pdf", write_pdf(["First page."], ["Second page."]))
    assert [(element.text, element.page) for element in document.elements] == [("First page.", 1), ("Second page.", 2)]
    assert (document.pages, document.missing) == (2, ())


def test_hyphens_at_ends_of_lines_are_mended() -> None:
    lines = ["This is an impor-", "tant fact of Alpha-", "Beta, as in a well-", "known text.", "It is well-known."]
    (text,) = texts(read("a.pdf", write_pdf(lines)))
    assert "an important fact of Alpha-Beta, as in a well-known text." in text.replace("\n", "")
    assert not {"\x02", "\ufffe", "\xad"} & set(text)


def test_powers_are_no_digits_of_their_number() -> None:
    drawn = "BT /F 12 Tf 50 600 Td (It costs 500) Tj /F 7 Tf 5 Ts (1) Tj /F 12 Tf 0 Ts ( and 5001 too) Tj ET"
    (text,) = texts(read("a.pdf", write_pdf([], extra=drawn)))
    assert text.split() == ["It", "costs", "500^1", "and", "5001", "too"]


def test_text_off_the_page_is_not_read() -> None:
    document = read("a.pdf", write_pdf(["On the page."], extra="BT /F 12 Tf 5000 700 Td (Off the page) Tj ET"))
    assert texts(document) == ["On the page."]


def test_values_of_forms_are_read() -> None:
    field = "<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Ada Lovelace)/Rect[50 400 300 420]/DA(/F 12 Tf 0 g)/F 4>>"
    document = read("a.pdf", write_pdf(["Name:"], annotations=[field]))
    assert "Ada Lovelace" in " ".join(texts(document))


def test_text_that_lies_over_a_page_without_a_form_is_read() -> None:
    drawn = "BT /F 12 Tf 2 5 Td (Over it) Tj ET"
    form = f"<</Type/XObject/Subtype/Form/BBox[0 0 200 20]/Resources<</Font<</F 3 0 R>>>>/Length {len(drawn)}>>"
    look = f"{form}stream\n{drawn}\nendstream"
    text = "<</Type/Annot/Subtype/FreeText/Contents(Over it)/DA(/F 12 Tf)/Rect[50 400 250 420]/F 4/AP<</N 5 0 R>>>>"
    assert texts(read("a.pdf", write_pdf(["Below."], annotations=[look, text])))[-1].endswith("Over it")


def test_notes_are_read_and_attached_files_named() -> None:
    note = "<</Type/Annot/Subtype/Text/Contents(A sticky note)/Rect[300 500 320 520]>>"
    attached = "<</Type/Annot/Subtype/FileAttachment/Contents(x)/Rect[300 400 320 420]>>"
    document = read("a.pdf", write_pdf(["Text."], annotations=[note, attached]))
    assert texts(document) == ["Text.", "[Note: A sticky note]"]
    assert document.missing == ("A file attached to page 1 was left out.",)


def test_lines_that_the_outline_names_are_titles() -> None:
    document = read("a.pdf", write_pdf(["1.2 Seals", "Check them."], ["Seals"], outline=[("Seals", 1)]))
    assert outline(document) == [("title", "1.2 Seals"), ("text", "Check them."), ("text", "Seals")]


def test_a_short_line_that_ends_a_sentence_ends_a_paragraph() -> None:
    document = read("a.pdf", write_pdf(["A long line that goes on to the right", "and ends.", "Another paragraph that is as long"]))
    assert len(document.elements) == 2


def test_a_scanned_file_says_so_and_scanned_pages_are_named() -> None:
    assert "no text; OCR extra not installed" in refuse("a.pdf", write_pdf(None, None))
    document = read("a.pdf", write_pdf(["Text."], None))
    assert document.missing == ("Page 2 is a picture (no text; OCR extra not installed).",)


def test_a_file_of_empty_pages_is_empty() -> None:
    assert "No text was found" in refuse("a.pdf", write_pdf([]))


def test_truncated_files_are_refused() -> None:
    content = write_pdf(["Text."])
    for length in (12, len(content) // 2, len(content) - 40):
        assert "damaged or ends too early" in refuse("a.pdf", content[:length])


def test_encrypted_files_are_refused() -> None:
    encryption = f"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{'ab' * 32}>/U<{'cd' * 32}>>>/ID[<00><00>]"
    content = write_pdf(["Text."]).replace(b"/Root 1 0 R", b"/Root 1 0 R" + encryption.encode())
    assert "It is encrypted" in refuse("a.pdf", content)
