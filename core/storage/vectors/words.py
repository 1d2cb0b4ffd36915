"""What a keyword search takes for a word, the same on every store: texts are taken apart here, and stores are given words.

Letters and digits that stand together are a word, whatever their case, width and accents (STRASSE is Straße, ｶﾌｪ is カフェ, café is cafe).
``C++`` and ``C#`` are words, beside ``c``. Where a script has no spaces (Chinese, Japanese, Thai …), and in Korean, whose words carry
endings, each character and each pair of neighbours is one. No word is too common to be asked for: a file may be named IT.
"""

import functools
import re
import unicodedata

MOST_WORDS = 64
"""So many different words of a question are looked for; a whole page that is asked as a question is cut."""

_ACCENTS = dict.fromkeys(range(0x300, 0x370))
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_OTHER_SCRIPTS = re.compile("[\u0483-\u1fff\u2c00-\U0003ffff]")  # behind Latin, Greek, Cyrillic and the signs that all scripts share
_LAST_MARK = 0x1FFFF
_SIGNS = r"(?:\+\+|#(?!\w))?"
_PLAIN = re.compile(rf"[^\W_]+{_SIGNS}")


def split(text: str) -> list[str]:
    """The words of a passage, as they are indexed, in their order."""
    return [word for run in _runs(text) for word in _words(run)]


def ask(text: str) -> list[str]:
    """The different words of a question: of a run without spaces the pairs alone, which say more than each character."""
    words: dict[str, None] = {}
    for run in _runs(text):
        words.update(dict.fromkeys(_pairs(run) if len(run) > 1 and _is_unspaced(run) else _words(run)))
    return list(words)[:MOST_WORDS]


def _runs(text: str) -> list[str]:
    if text.isascii():
        return _PLAIN.findall(text.lower())
    folded = unicodedata.normalize("NFKD", text.casefold()).translate(_ACCENTS)
    folded = unicodedata.normalize("NFKC", folded).casefold()
    return (_any() if _OTHER_SCRIPTS.search(folded) else _PLAIN).findall(folded)


def _words(run: str) -> list[str]:
    if _is_unspaced(run):
        return [*run, *_pairs(run)]
    return [run, run.rstrip("+#")] if run[-1] in "+#" else [run]


def _pairs(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run) - 1)]


def _is_unspaced(run: str) -> bool:
    return bool(_UNSPACED.match(run))


@functools.cache
def _any() -> re.Pattern[str]:
    """Runs without spaces, or words. A mark (an Indian vowel sign) belongs to the letter before it, but is no letter to ``re``."""
    marks = re.escape("".join(mark for mark in map(chr, range(0x370, _LAST_MARK)) if unicodedata.category(mark)[0] == "M"))
    unspaced = _UNSPACED.pattern
    return re.compile(rf"(?:(?=[\w{marks}]){unspaced})+|(?:(?!{unspaced})(?:[^\W_]|[{marks}]))+{_SIGNS}")
