"""The embedder's one thread: queries whole, bulk in pieces, each when it is its share's turn; sleeps when there is nothing to do."""

import threading
from collections.abc import Callable, Collection

from core.errors import PenstockError, Unavailable
from core.logging import get_logger
from gpu.batch_queue import BatchQueue, EmbedRequest, EmbedShare, Text, group_by_request
from gpu.bert import Encoder, Pieces, Vectors
from gpu.device_lock import DeviceLock, Seat
from gpu.failures import Barren, explain_failure, is_fatal, tell
from gpu.shares import Share

log = get_logger()

_Failed = tuple[Text, Exception]


class EmbedLoop:
    """``load`` makes the encoder when the first text comes.

    A batch that fails is repeated one text at a time, so that a bad one fails alone. Where that leaves nobody, a text of our own tells bad
    texts from an embedder that has failed. One that has ends as gpu/loop.py's engine does.
    """

    def __init__(
        self,
        load: Callable[[], Encoder],
        queue: BatchQueue,
        *,
        device_lock: DeviceLock,
        name: str,
        task: str = "embedding",
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        """``task``: what its model does, for who reads that it has failed."""
        self._load = load
        self._queue = queue
        self._device_lock = device_lock
        self._name = name
        self._task = task
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._open: set[EmbedRequest] = set()
        self._barren = Barren()
        self._bulk: tuple[list[Text], Pieces] | None = None
        self._refusal: Callable[[], PenstockError] | None = None
        self.encoder: Encoder | None = None
        self._thread: threading.Thread | None = None

    def submit(self, order: EmbedRequest) -> None:
        """Queue a request; callable from any thread."""
        with self._changed:
            if self._refusal:
                raise self._refusal()
            if self._thread is None:
                seat = self._device_lock.seat(self._wants)
                self._thread = threading.Thread(target=self._serve, args=(seat,), name=f"embedder-{self._name}", daemon=True)
                self._thread.start()
            self._open.add(order)
            self._queue.add(order)
            self._changed.notify()

    def close(self) -> None:
        """End after the turn that runs now; what is not finished fails."""
        with self._changed:
            self._refusal = self._refusal or _closing
            self._changed.notify()
        if self._thread:
            self._thread.join()

    @property
    def _loaded(self) -> Encoder:
        if self.encoder is None:
            raise LookupError(self._name)
        return self.encoder

    def _wants(self) -> Collection[Share]:
        """Nothing while the encoder is being loaded: nobody should wait for that."""
        if self.encoder is None:
            return ()
        wanted = [share for share in (Share.QUERIES, Share.BULK) if self._queue.count(share)]
        return [*wanted, Share.BULK] if self._bulk else wanted

    def _serve(self, seat: Seat) -> None:
        try:
            while self._wait():
                if self.encoder or self._try_load():
                    with seat.take() as share:
                        self._turn(share)
            self._dismiss(_closing)
        except BaseException as error:  # noqa: BLE001 - whatever it was, who waits must hear of it
            self._fail(error)
        finally:
            seat.leave()

    def _wait(self) -> bool:
        """Until there is something to do. False: the end."""
        with self._changed:
            self._open = {order for order in self._open if not order.done.done()}
            while not (self._refusal or self._bulk or self._queue.count(Share.QUERIES) or self._queue.count(Share.BULK)):
                self._changed.wait()
            return not self._refusal

    def _try_load(self) -> bool:
        """Load the encoder. Where that fails, so does whoever waits for it; the next request tries again."""
        try:
            self.encoder = self._load()
        except Exception as error:
            if is_fatal(error):
                raise
            with self._changed:
                waiting = group_by_request(self._queue.drain())
            for order in waiting:
                self._end(order, error)
        return self.encoder is not None

    def _turn(self, share: Share) -> None:
        if share is Share.QUERIES:
            batch = self._take(Share.QUERIES)
            if batch:
                self._settle(batch, self._encode(batch))
            return
        if self._bulk is None and (batch := self._take(Share.BULK)):
            self._bulk = batch, self._loaded.pieces([text.ids for text in batch])
        if self._bulk:
            self._advance(*self._bulk)

    def _advance(self, batch: list[Text], pieces: Pieces) -> None:
        """One piece more."""
        try:
            next(pieces)
        except StopIteration as ended:
            self._bulk = None
            _deliver(batch, ended.value)
            self._barren.end()
        except Exception as error:  # noqa: BLE001 - whatever it was, it must not end the others
            self._bulk = None
            self._settle(batch, self._encode_alone(batch, error))

    def _take(self, share: EmbedShare) -> list[Text]:
        with self._changed:
            return self._queue.take(share)

    def _settle(self, batch: list[Text], failed: list[_Failed]) -> None:
        """After a batch whose other texts have their vectors. Raises where it was not the texts."""
        if len(failed) < len(batch):
            self._barren.end()
        elif failed:
            self._barren.add((text.order for text in batch), failed[-1][1])
            self._loaded([[0]])
        for text, error in failed:
            self._end(text.order, error)

    def _encode(self, batch: list[Text]) -> list[_Failed]:
        """Compute and deliver, one text at a time where that raises; those that failed. Raises what is fatal."""
        try:
            _deliver(batch, self._loaded([text.ids for text in batch]))
        except Exception as error:  # noqa: BLE001 - as above
            return self._encode_alone(batch, error)
        return []

    def _encode_alone(self, batch: list[Text], error: Exception) -> list[_Failed]:
        if is_fatal(error):
            raise error
        if len(batch) == 1:
            return [(batch[0], error)]
        return [failed for text in batch for failed in self._encode([text])]

    def _fail(self, error: BaseException) -> None:
        """The hook is called before the readers hear of it: whoever acts on it is ready for them."""
        with self._changed:
            self._refusal = explain_failure
        try:
            tell(self._name, error, self._on_failure)
        finally:
            self._dismiss(explain_failure)

    def _dismiss(self, refusal: Callable[[], PenstockError]) -> None:
        with self._changed:
            self._queue.drain()
        for order in self._open:
            order.deliver(refusal())

    def _end(self, order: EmbedRequest, error: Exception) -> None:
        log.error("request failed", task=self._task, error=f"{type(error).__name__}: {error}")
        text = f"The {self._task} model failed on this request. Ask again; if it happens again, the worker's log says why."
        order.deliver(PenstockError(text))


def _deliver(batch: list[Text], vectors: Vectors) -> None:
    rows = vectors.astype("<f4", copy=False)
    for order, indexes in group_by_request(batch).items():
        order.deliver([(batch[index].place, rows[index].tobytes()) for index in indexes])


def _closing() -> Unavailable:
    return Unavailable("This worker is stopping. Ask again.", retry_after=1)
