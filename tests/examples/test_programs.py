"""The printed programs, run as they are printed: only host, token and ids are put in."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import Server
from tests.examples.printed import HOST, PRINTED, assert_holds
from tests.servers import missing

pytestmark = pytest.mark.asyncio(loop_scope="package")

NODE_CLIENTS = Path(__file__).parent.parent / "clients"
RUN_S = 60


def _program(heading: str, server: Server) -> str:
    text = PRINTED[heading][0].text
    for printed in ("YOUR_TOKEN", "your_jwt_token"):
        text = text.replace(printed, server.john.token)
    return text.replace(HOST, server.url)


async def _output(*command: str) -> str:
    """What a program prints that ends well."""
    if not shutil.which(command[0]):
        missing(command[0])
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    output, errors = await asyncio.wait_for(process.communicate(), RUN_S)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_the_curl_example_creates_a_chat(server: Server) -> None:
    if not shutil.which("curl"):
        missing("curl")
    created = json.loads(await _output("bash", "-c", _program("cURL Example", server)))
    assert_holds((await server.john.get(f"/api/chats/{created['id']}")).body, created)
    assert created["title"] == "New Chat"


async def test_the_curl_example_uploads_a_file(server: Server, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        missing("curl")
    (tmp_path / "document.pdf").write_bytes(b"%PDF-1.7 " + bytes(2_000_000))  # so long that curl asks first whether it may
    sent = json.loads(await _output("bash", "-c", f"cd {tmp_path} && {_program('cURL Upload Example', server)}"))
    assert_holds(sent, json.loads(PRINTED["Upload File"][1].text))
    assert (sent["filename"], sent["meta"]["size"]) == ("document.pdf", 2_000_009)


async def test_the_python_example_counts_the_chats(server: Server) -> None:
    await server.chat()
    chats = (await server.john.get("/api/chats/")).body
    assert await _output(sys.executable, "-c", _program("Python Example", server)) == f"Found {len(chats)} chats\n"


async def test_the_javascript_example_counts_the_chats(server: Server, tmp_path: Path) -> None:
    await server.chat()
    chats = (await server.john.get("/api/chats/")).body
    program = tmp_path / "example.js"
    program.write_text(_program("JavaScript Example", server))
    assert await _output("node", str(program)) == f"Found {len(chats)} chats\n"
