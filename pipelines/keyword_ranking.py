"""How well the words of texts fit a question's, where there is no index of them: BM25 over these texts alone. Pure."""

import math
from collections import Counter
from collections.abc import Sequence

from core.storage.vectors import words
from core.storage.vectors.ranking import DECIMALS, keyword_scores

K1, B = 1.2, 0.75  # the usual ones, and FTS5's


def score(question: str, texts: Sequence[str]) -> list[float]:
    """Each text's score, 0 to 1: the best has 1, and 0 is one that has none of the words."""
    asked = frozenset(words.ask(question))
    lengths, found = [], list[Counter[str]]()
    for text in texts:
        split = words.split(text)
        lengths.append(len(split))
        found.append(Counter(word for word in split if word in asked))
    average = sum(lengths) / max(1, len(lengths)) or 1.0
    holding = Counter(word for counts in found for word in counts)
    rarity = {word: math.log(1 + (len(texts) - holds + 0.5) / (holds + 0.5)) for word, holds in holding.items()}
    weights = {
        place: sum(
            rarity[word] * often * (K1 + 1) / (often + K1 * (1 - B + B * lengths[place] / average)) for word, often in counts.items()
        )
        for place, counts in enumerate(found)
    }
    return [round(weight, DECIMALS) for weight in keyword_scores(weights).values()]
