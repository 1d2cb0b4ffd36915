"""One request inside the engine. Imports no torch."""

from collections import Counter
from collections.abc import Callable

from gpu.completion import Completion
from gpu.requests import Piece, Request, Scored


class Sequence:
    """``ids``: the prompt's, then the answer's; of these ``computed`` have their keys and values in the cache ``row``.

    ``deliver`` takes pieces, and the exception that ends it early; it is called on the engine's thread.
    """

    def __init__(self, request: Request, prompt: list[int], answer: Completion, deliver: Callable[[Piece | Exception], None]) -> None:
        self.request_id = request.id
        self.sampling = request.sampling
        self.choice = request.choice
        self.answer = answer
        self.deliver = deliver
        self.prompt_length = len(prompt)
        self.ids = prompt + list(request.emitted)
        self.counts = Counter(request.emitted)
        self.computed = 0
        self.row: int | None = None
        self.cancelled = False

    @property
    def position(self) -> int:
        """The place in the answer that is sampled next."""
        return len(self.ids) - self.prompt_length

    @property
    def pending(self) -> int:
        """How many ids the model has not seen yet."""
        return len(self.ids) - self.computed

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be computed."""
        return self.cancelled or self.answer.finish_reason is not None

    def accept(self, token: int, scored: Scored | None = None) -> None:
        """One more id of the answer."""
        self.ids.append(token)
        self.counts[token] += 1
        text = self.answer.push(token)
        told = (scored,) if scored and not self.answer.is_end(token) else ()
        self.deliver(Piece(text=text, tokens=(token,), finish_reason=self.answer.finish_reason, scored=told))
