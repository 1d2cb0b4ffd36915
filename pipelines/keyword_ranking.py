"""How well the words of texts fit a question's, where there is no index of them: BM25 over these texts alone. Pure."""

from collections import Counter
from collections.abc import Sequence

from core.storage.vectors import words
from core.storage.vectors.ranking import DECIMALS, K1, B, keyword_scores, telling


def score(question: str, texts: Sequence[str]) -> list[float]:
    """Each text's score, 0 to 1, as the vector stores give it; 0 is one that has none of the words."""
    asked = words.ask(question)
    wanted = frozenset(asked)
    lengths, found = [], list[Counter[str]]()
    for text in texts:
        split = words.split(text)
        lengths.append(len(split))
        found.append(Counter(word for word in split if word in wanted))
    average = sum(lengths) / max(1, len(lengths)) or 1.0
    holding = Counter(word for counts in found for word in counts)
    told = {word: telling(len(texts), holding[word]) for word in asked}
    weights = {
        place: sum(told[word] * often / (often + K1 * (1 - B + B * lengths[place] / average)) for word, often in counts.items())
        for place, counts in enumerate(found)
    }
    return [round(weight, DECIMALS) for weight in keyword_scores(weights, sum(told.values())).values()]
