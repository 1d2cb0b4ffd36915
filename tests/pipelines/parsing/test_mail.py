from datetime import UTC, datetime
from email.message import EmailMessage

from tests.pipelines.parsing import outlook
from tests.pipelines.parsing.reading import outline, read, refuse, texts


def write(subject: str = "Pumps") -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Ada <ada@example.org>"
    message["Date"] = "Mon, 01 Jan 2024 10:00:00 +0000"
    return message


def test_a_mail_of_a_subject_only_is_read() -> None:
    document = read("a.eml", write("Größe of it").as_bytes())
    assert texts(document) == ["Subject: Größe of it\nFrom: Ada <ada@example.org>\nDate: Mon, 01 Jan 2024 10:00:00 +0000"]
    assert document.title == "Größe of it"
    assert document.metadata["from"] == "Ada <ada@example.org>"


def test_what_is_quoted_stands_apart() -> None:
    message = write()
    message.set_content("New words.\n\nBye\n\nOn Mon, 1 Jan 2024, Bob wrote:\n> Old words.\n>> Older.\n")
    document = read("a.eml", message.as_bytes())
    assert outline(document)[1:] == [
        ("text", "New words."), ("text", "Bye"), ("title", "Earlier messages"),
        ("text", "On Mon, 1 Jan 2024, Bob wrote:\nOld words.\nOlder."),
    ]  # fmt: skip
    assert document.title == "Pumps"


def test_attachments_are_named_and_not_read() -> None:
    message = write()
    message.set_content("See attached.")
    message.add_alternative("<p>See <b>attached</b>.</p>", subtype="html")
    message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="../../pump.pdf")
    message.add_attachment("a,b", filename="data.csv")
    document = read("a.eml", message.as_bytes())
    assert texts(document)[1:] == ["See attached."]
    assert document.missing == (
        "An attachment was left out: ../../pump.pdf. Upload it as a file of its own.",
        "An attachment was left out: data.csv. Upload it as a file of its own.",
    )


def test_a_mail_of_html_only_is_read() -> None:
    message = write()
    message.set_content("<h1>Hello</h1><p>there</p>", subtype="html")
    assert outline(read("a.eml", message.as_bytes()))[1:] == [("title", "Hello"), ("text", "there")]


def test_mail_of_outlook_is_read() -> None:
    values: dict[int, str | bytes | datetime] = {
        outlook.SUBJECT: "Größe",
        outlook.SENDER_NAME: "Ada",
        outlook.SENDER_ADDRESS: "ada@example.org",
        outlook.SENT: datetime(2024, 1, 1, 10, tzinfo=UTC),
        outlook.BODY: "New.\r\n\r\nOn Monday Bob wrote:\r\n> Old.",
    }
    document = read("a.msg", outlook.write_msg(values, ["pump.pdf"]))
    assert outline(document) == [
        ("text", 'Subject: Größe\nFrom: "Ada" <ada@example.org>\nDate: 2024-01-01 10:00:00+00:00'),
        ("text", "New."),
        ("title", "Earlier messages"),
        ("text", "On Monday Bob wrote:\nOld."),
    ]
    assert document.missing == ("An attachment was left out: pump.pdf. Upload it as a file of its own.",)


def test_mail_of_outlook_without_plain_text_is_read() -> None:
    html = outlook.write_msg({outlook.SUBJECT: "S", outlook.HTML: b"<h1>Hello</h1>"})
    assert outline(read("a.msg", html)) == [("text", "Subject: S"), ("title", "Hello")]
    rich = read("a.msg", outlook.write_msg({outlook.SUBJECT: "S", outlook.RICH: b"LZFu"}))
    assert rich.missing == ("Its body, which is rich text only, was left out. Save it as .eml.",)


def test_encrypted_mail_and_what_is_no_mail_are_refused() -> None:
    message = write()
    message.set_content(b"x", maintype="application", subtype="pkcs7-mime")
    assert "It is encrypted" in refuse("a.eml", message.as_bytes())
    assert "not a mail" in refuse("a.eml", "just words\n")
