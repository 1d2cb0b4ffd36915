"""Subtitles (SRT and WebVTT): what is said, with when."""

import html
import re

from core.errors import BadRequest
from pipelines.parsing.draft import Draft, clean, on_one_line
from pipelines.parsing.encodings import decode

_TIMES = re.compile(r"\s*((?:\d+:)?\d{1,2}:\d{2})[.,]\d{1,3}\s*-->\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}.*")
_BLANK_LINES = re.compile(r"\n\s*\n")
_SPEAKER = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]+)>")
_TAG = re.compile(r"</?[a-zA-Z\d][^>]*>|\{\\[^}]*\}")

_NO_TIMES = "It has no times, so that it is no file of subtitles. Save it as SRT or WebVTT, or name it .txt."


def read_subtitles(content: bytes, draft: Draft) -> None:
    """Of each cue a line, ``[00:01:02] Ada: Hello.``; what it repeats of the one before, as captions that roll do, goes."""
    before: list[str] = []
    timed = False
    for block in _BLANK_LINES.split(clean(decode(content))):
        lines = block.split("\n")
        times = [(place, found[1]) for place, line in enumerate(lines) if (found := _TIMES.fullmatch(line))]
        for (place, time), following in zip(times, [*(place for place, _ in times[1:]), len(lines)], strict=False):
            timed = True
            said = [line for line in map(_strip, lines[place + 1 : following]) if line]
            fresh = [line for line in said if line not in before]
            before = said
            if fresh:
                draft.add_text(f"[{time}] {' '.join(fresh)}")
    if not timed:
        raise BadRequest(_NO_TIMES)


def _strip(line: str) -> str:
    speaker = _SPEAKER.search(line)
    text = html.unescape(_TAG.sub("", line))
    return on_one_line(f"{speaker[1]}: {text}" if speaker else text)
