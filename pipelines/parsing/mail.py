"""Mail (.eml and Outlook's .msg): who, when and what, the latest before what it quotes; attachments are named."""

import email
import email.policy
import io
import re
from email.message import EmailMessage, MIMEPart

from oxmsg import Message

from core.errors import BadRequest
from pipelines.parsing.draft import Draft, clean
from pipelines.parsing.formats import ENCRYPTED
from pipelines.parsing.html import add_html

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_QUOTE_BEGINS = re.compile(
    r"^(?:-{2,}\s*(?:Original Message|Ursprüngliche Nachricht|Forwarded message|Weitergeleitete Nachricht)\s*-{2,}.*"
    r"|(?:On|Am)\b[^\n]{5,200}(?:\n[^\n]{0,100})?(?:wrote|schrieb)[^\n]{0,100}:\s*"
    r"|>.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_QUOTE_MARK = re.compile(r"^(?:> ?)+", re.MULTILINE)
_RTF_COMPRESSED = 0x1009
_EARLIER = "Earlier messages"
_ENCRYPTED_TYPES = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
_NO_MAIL = "It is not a mail that can be read. Save it as .eml again."


def read_eml(content: bytes, draft: Draft) -> None:
    """Its plain text, or else its HTML."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not any(name in message for name in ("Subject", "From", "To", "Date", "Received")):
        raise BadRequest(_NO_MAIL)
    if message.get_content_type() in _ENCRYPTED_TYPES and message.get_param("smime-type") != "signed-data":
        raise BadRequest(ENCRYPTED)
    _add_headers({name: str(message[name]) for name in _HEADERS if message[name]}, draft)
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    if plain is not None and (text := _get_text(plain)).strip():
        _add_body(text, draft)
    elif html is not None:
        add_html(_get_text(html), draft)
    bodies = {id(plain), id(html)}
    for part in message.walk():
        if id(part) in bodies or part.get_content_maintype() == "multipart":
            continue
        if part.is_attachment() or part.get_filename() or part.get_content_maintype() not in {"text", "message"}:
            _name_attachment(part.get_filename() or part.get_content_type(), draft)
        elif part.get_content_type() == "message/rfc822":
            _name_attachment("a forwarded mail", draft)


def read_msg(content: bytes, draft: Draft) -> None:
    """The same of Outlook's own format."""
    try:
        message = Message.load(io.BytesIO(content))
        sent = message.sent_date
        headers = {
            "Subject": message.subject,
            "From": message.sender,
            "To": ", ".join(f"{recipient.name} <{recipient.email_address}>" for recipient in message.recipients),
            "Date": sent.isoformat(" ") if sent else "",
        }
        body, html, attachments = message.body, message.html_body, message.attachments
        rich = message.properties.binary_prop_value(_RTF_COMPRESSED)
        names = [attachment.file_name or "without a name" for attachment in attachments]
    except (ValueError, KeyError, OSError, IndexError, AttributeError, AssertionError, UnicodeDecodeError) as error:
        message_ = f"It is not a mail of Outlook that can be read ({error}). Save it as .eml."
        raise BadRequest(message_) from error
    _add_headers({name: value for name, value in headers.items() if value}, draft)
    if body and body.strip():
        _add_body(body, draft)
    elif html:
        add_html(html, draft)
    elif rich:
        draft.miss("Its body, which is rich text only, was left out. Save it as .eml.")
    for name in names:
        _name_attachment(name, draft)


def _add_headers(headers: dict[str, str], draft: Draft) -> None:
    draft.title = headers.get("Subject", "")
    for name, value in headers.items():
        draft.describe(name.lower(), value)
    draft.add_text("\n".join(f"{name}: {' '.join(value.split())}" for name, value in headers.items()))


def _get_text(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a character set that nobody knows
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)


def _add_body(text: str, draft: Draft) -> None:
    """What is new, then what it quotes, under a heading of its own."""
    text = clean(text)
    found = _QUOTE_BEGINS.search(text)
    new, quoted = (text[: found.start()], text[found.start() :]) if found else (text, "")
    for paragraph in re.split(r"\n\s*\n", new):
        draft.add_text(paragraph)
    if quoted.strip():
        title = draft.title
        draft.add_title(_EARLIER, 1)
        draft.title = title
        for paragraph in re.split(r"\n\s*\n", _QUOTE_MARK.sub("", quoted)):
            draft.add_text(paragraph)


def _name_attachment(name: str, draft: Draft) -> None:
    draft.miss(f"An attachment was left out: {name}. Upload it as a file of its own.")
