"""A job that is followed over a connection that breaks: nothing is lost, nothing is heard twice, and whoever is away is not stormed."""

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from aiohttp import web

from core.errors import NotFound, SettingsError
from core.models.jobs import JobStatus
from penstock import job_events
from penstock import server as server_module
from penstock.job_events import follow
from penstock.server import JobEvent, Server

BAD = 400
OPENED = {"Content-Type": "text/event-stream"}


def progress(number: int) -> bytes:
    return f'event: progress\nid: 1-{number}\ndata: {{"type":"progress","total":9,"completed":{number},"failed":0}}\n\n'.encode()


FINISHED = b'event: finished\nid: 1-9\ndata: {"type":"finished"}\n\n'


class Fake:
    """A server with one job, which has ended once it was asked for as often as ``ends_after`` says.

    ``streams``: what it sends, connection after connection: events, or a status alone. ``breaks``: connections are cut, not closed.
    """

    def __init__(self) -> None:
        self.streams: list[bytes | int] = []
        self.breaks = False
        self.ends_after = 1
        self.asked = 0
        self.resumed: list[str] = []

    async def events(self, request: web.Request) -> web.StreamResponse:
        self.resumed.append(request.headers.get("Last-Event-ID", ""))
        found = self.streams.pop(0)
        if isinstance(found, int):
            return web.json_response({"detail": "No."}, status=found) if found >= BAD else web.Response(status=found)
        response = web.StreamResponse(headers=OPENED)
        await response.prepare(request)
        await response.write(found)
        if self.breaks and request.transport:
            request.transport.abort()
        return response

    async def job(self, request: web.Request) -> web.Response:
        del request
        self.asked += 1
        status = "finished" if self.asked >= self.ends_after else "in_progress"
        return web.json_response({"id": "j", "status": status, "total": 9, "completed": 9, "failed": 0, "chunks": 18, "pages": 0})


async def nothing(request: web.Request) -> web.Response:
    return web.json_response({"detail": f"{request.path} is not here."}, status=404)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.setattr(server_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(job_events, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(job_events, "MAX_PAUSE_S", 0.02)
    return Fake()


@pytest.fixture
async def server(fake: Fake) -> AsyncIterator[Server]:
    app = web.Application()
    app.router.add_get("/api/jobs/j/events", fake.events)
    app.router.add_get("/api/jobs/j", fake.job)
    app.router.add_get("/{path:.*}", nothing)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = Server(f"http://127.0.0.1:{runner.addresses[0][1]}", "sk-key", lambda _: None)
    yield server
    await server.close()
    await runner.cleanup()


async def heard(server: Server) -> list[JobEvent]:
    found: list[JobEvent] = []
    job = await follow(server, "j", found.append)
    assert (job.status, job.chunks) == (JobStatus.FINISHED, 18)
    return found


async def test_one_connection_is_enough_and_the_job_is_asked_for_once_at_its_end(server: Server, fake: Fake) -> None:
    fake.streams = [b"retry: 500\n" + progress(1) + b": still here\n" + progress(5) + FINISHED]
    assert [(event.id, event.type, event.completed) for event in await heard(server)] == [
        ("1-1", "progress", 1),
        ("1-5", "progress", 5),
        ("1-9", "finished", 0),
    ]
    assert (fake.asked, fake.resumed) == (1, [""])


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_stream_that_breaks_off_goes_on_behind_the_last_event(server: Server, fake: Fake, breaks: bool) -> None:  # noqa: FBT001
    fake.breaks, fake.ends_after = breaks, 6
    half = progress(7)[:-30]
    error = b'event: error\ndata: {"detail": "Redis is away.", "code": "unavailable"}\n\n'
    fake.streams = [progress(1), progress(2) + half, error, 503, 429, progress(7) + FINISHED]
    events = await heard(server)
    assert [event.id for event in events] == ["1-1", "1-2", "1-7", "1-9"]
    assert fake.resumed == ["", "1-1", "1-2", "1-2", "1-2", "1-2"]


async def test_a_job_is_waited_for_whose_log_has_ended_before_it_or_is_gone(server: Server, fake: Fake) -> None:
    fake.streams, fake.ends_after = [204, progress(1) + FINISHED], 4
    assert [event.id for event in await heard(server)] == ["1-1", "1-9"]
    assert (fake.asked, fake.streams) == (4, []), "what has ended is not listened to any more"


async def test_a_job_that_is_somebody_elses_and_a_key_that_was_taken_away_are_told(server: Server, fake: Fake) -> None:
    with pytest.raises(NotFound):
        await follow(server, "hers", lambda _: None)
    fake.streams = [401]
    with pytest.raises(SettingsError, match="does not know this API key"):
        await follow(server, "j", lambda _: None)


async def test_who_is_away_is_asked_after_a_longer_pause_each_time(server: Server, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(job_events, "asyncio", SimpleNamespace(sleep=note))
    monkeypatch.setattr(job_events, "MAX_PAUSE_S", 0.05)
    fake.streams, fake.ends_after = [503, 503, 503, 503, 503, progress(1), 503], 7
    await heard(server)
    assert pauses == [0.01, 0.02, 0.04, 0.05, 0.05, 0.01]
