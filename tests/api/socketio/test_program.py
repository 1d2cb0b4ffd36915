"""The printed program of Socket.IO's section, its snippets one after the other, by the JavaScript client."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.services import Services
from core.services.chats.chats import Chats
from tests.api.conftest import Client
from tests.api.manual_jobs import claim_next
from tests.api.socketio_client import connect_socket
from tests.examples.printed import HOST, PRINTED
from tests.polling import until
from tests.servers import missing

NODE_CLIENTS = Path(__file__).parents[2] / "clients"
SNIPPETS = ("Connect", "Join Chat Room", "Send Message", "Receive Messages", "User Joined", "User Left")


async def test_the_printed_program_connects_speaks_hears_and_sees_who_comes_and_goes(
    bob: Client, eve: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("node") or not (NODE_CLIENTS / "node_modules" / "socket.io-client").exists():
        missing("socket.io-client for node")
    chat_id = await bob.chat()

    async def anybody(_chats: Chats, _principal: Any, chat_id: str) -> Any:
        return await services.chats._chats.get(chat_id)

    program = "\n".join(PRINTED[heading][0].text for heading in SNIPPETS)
    for printed, here in ((HOST, bob.url), ("YOUR_JWT_TOKEN", bob.token), ("chat_abc123", chat_id)):
        assert printed in program
        program = program.replace(printed, here)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", "--input-type=module", cwd=NODE_CLIENTS, stdin=pipe, stdout=pipe)
    assert process.stdin
    assert process.stdout
    process.stdin.write(program.encode())
    process.stdin.write_eof()
    output = bytearray()

    async def collect(stream: asyncio.StreamReader) -> None:
        while data := await stream.read(65_536):
            output.extend(data)

    def prints(text: str) -> Any:
        return until(lambda: text in output.decode(), f"{text!r} is printed")

    collecting = asyncio.create_task(collect(process.stdout))
    try:
        await prints("Connected to WebSocket\n")
        making = await claim_next(services)
        await making.say("Hi", " there")
        await making.finish()
        for text in ("New message:", "content: 'Hello!'", "content: 'Hi'", "content: ' there'", "content: 'Hi there'"):
            await prints(text)
        assert output.count(b"New message:") == 4
        monkeypatch.setattr(Chats, "readable", anybody)
        async with connect_socket(eve) as other:
            await other.call("join_chat", {"chat_id": chat_id})
            await prints(f"User joined: {eve.user['id']}\n")
            await other.call("leave_chat", {"chat_id": chat_id})
            await prints(f"User left: {eve.user['id']}\n")
    finally:
        process.kill()
        await process.wait()
        await collecting
