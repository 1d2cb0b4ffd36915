"""How the command line bears servers that are away, busy, or none of ours."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from core.errors import NotFound, SettingsError, TooLarge, Unavailable
from penstock import server as server_module
from penstock.local_files import LocalFile
from penstock.server import Base, Server

BASE = Base(id="b", name="Docs")


class Answers:
    """A server that gives these answers, one after the other, the last one again and again; ``bodies``: what it was sent."""

    def __init__(self) -> None:
        self.left: list[Callable[[], web.Response]] = []
        self.bodies: list[bytes] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return (self.left.pop(0) if len(self.left) > 1 else self.left[0])()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    monkeypatch.setattr(server_module, "PAUSE_S", 0.01)
    return Answers()


@pytest.fixture
async def waits() -> list[str]:
    return []


@pytest.fixture
async def server(answers: Answers, waits: list[str]) -> AsyncIterator[Server]:
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", answers.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = Server(f"http://127.0.0.1:{runner.addresses[0][1]}", "sk-key", waits.append)
    yield server
    await server.close()
    await runner.cleanup()


def told(status: int, detail: str) -> Callable[[], web.Response]:
    return lambda: web.json_response({"detail": detail}, status=status)


def bases() -> web.Response:
    return web.json_response([{"id": "b", "name": "Docs", "more": 1}])


async def test_a_server_that_is_asked_too_often_or_restarts_is_asked_again(server: Server, answers: Answers, waits: list[str]) -> None:
    answers.left = [told(429, "Too many."), bases, told(503, "Redis is away."), lambda: web.Response(status=502, text="<html>"), bases]
    assert await server.bases() == [BASE]
    assert await server.bases() == [BASE]
    assert waits == ["Too many.", "Redis is away.", f"{server.url} answers with 502."]


async def test_a_server_that_stays_away_is_given_up_in_the_end(server: Server, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PATIENCE_S", 0.05)
    answers.left = [bases, told(503, "Redis is away.")]
    await server.bases()
    with pytest.raises(Unavailable, match="Redis is away"):
        await server.bases()


async def test_a_proxy_that_takes_no_file_as_large_fails_that_file_alone(server: Server, answers: Answers) -> None:
    answers.left = [lambda: web.Response(status=413, text="<html>")]
    with pytest.raises(TooLarge, match="A proxy before the server"):
        await server.bases()


async def test_what_is_refused_is_told_in_the_servers_words(server: Server, answers: Answers) -> None:
    answers.left = [told(404, "There is no such job.")]
    with pytest.raises(NotFound, match="There is no such job"):
        await server.job("j")


@pytest.mark.parametrize("answer", [lambda: web.Response(text="Hello!"), lambda: web.json_response({"hello": 1})])
async def test_what_is_no_penstock_is_named(server: Server, answers: Answers, answer: Callable[[], web.Response]) -> None:
    answers.left = [answer]
    with pytest.raises(SettingsError, match="does not answer as a Penstock does"):
        await server.bases()


@pytest.mark.parametrize("size", [1, 3_000_000])
async def test_a_file_is_sent_as_it_is_now_also_again(
    server: Server, answers: Answers, waits: list[str], tmp_path: Path, size: int
) -> None:
    place = tmp_path / 'a "name".md'
    place.write_bytes(b"\x01" * size)
    answers.left = [told(429, "Too many."), lambda: web.json_response({"id": "f"}, status=201)]
    file = LocalFile(path=f"docs/{place.name}", place=place, size=1, stamp=(1, 1))
    assert await server.upload(BASE, file) == "f"
    first, second = (body.replace(body.partition(b"\r\n")[0], b"--boundary") for body in answers.bodies)
    assert first == second
    assert first.count(b"\x01" * size) == 1
    assert b'filename="a %22name%22.md"' in first
    assert waits == ["Too many."]


async def test_a_file_that_is_gone_is_an_error_of_its_own(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await server.upload(BASE, LocalFile(path="a.md", place=tmp_path / "a.md", size=1, stamp=(1, 1)))
