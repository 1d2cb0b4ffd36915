"""schemathesis over a whole running product: web process, relay and CPU workers, and a model's server that echoes.

``python -m tests.schemathesis MINUTES`` runs it on an empty server, and then on a filled one, each that long.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from core.security import Tokens
from core.settings import Settings
from tests.api.forms import HEADERS, file_form
from tests.ports import free_port
from tests.search_engines import Engines
from tests.stack import Stack, stack_in

CONFIG = Path(__file__).with_suffix(".toml")
ADA = {"name": "Ada", "email": "ada@example.com", "password": "known to nobody else"}
SECRET = "known to the server and to those who test it"
GRACE_S = 60
OK = 200
LIMITS = "POST /api/configs/rate_limits"  # what is set there refuses all that follows, so it comes last
LAST_S = 5
CHATS, MESSAGES = 40, 20
FOUND = (("A page", "https://news.example.com/", "What it says."),)


async def found(folder: Path, *, seconds: int, filled: bool) -> tuple[int, str]:
    """What schemathesis exits with, and its report. 0: no check failed."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "rate_limit_per_minute": 0,
        "anonymous_rate_limit_per_minute": 0,
        "openai_base_urls": f"{url}/v1",
        "hf_endpoint": url,
        "secret_key": SECRET,
        "web_search": "searxng",
        "fetch_only": "nobody.invalid",  # what it says is on the web is fetched by nobody
    }
    async with Engines(FOUND).serving() as engines, stack_in(folder, **settings, web_search_url=engines.url) as stack:
        await stack.start_redis()
        await stack.start(sys.executable, "-m", "tests.upstream", str(port))
        await asyncio.gather(stack.start_api(), stack.start_worker("relay"), stack.start_worker("cpu"))
        user = await fill(stack.url, chats=CHATS if filled else 0)
        async with asyncio.timeout(2 * seconds + GRACE_S):
            code, report = await run(stack, user, "--exclude-name", LIMITS, "--max-time", str(seconds))
            assert await still_there(stack.url, user), "the administrator was locked out, so most was refused: the run says nothing"
            last_code, last_report = await run(stack, user, "--include-name", LIMITS, "--max-time", str(min(seconds, LAST_S)))
        return code or last_code, report + last_report


async def fill(url: str, *, chats: int) -> str:
    """An administrator, and what she has made; her id."""
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:

        async def post(path: str, body: dict[str, Any]) -> Any:
            async with session.post(path, json=body) as response:
                return await response.json()

        ada = await post("/api/auths/signup", ADA)
        session.headers["Authorization"] = f"Bearer {ada['token']}"
        for number in range(chats):
            messages = [{"role": ("user", "assistant")[place % 2], "content": f"Message {place}"} for place in range(MESSAGES)]
            chat = await post("/api/chats/new", {"chat": {"title": f"Chat {number}", "models": ["echo"], "messages": messages}})
            await post(f"/api/chats/{chat['id']}/messages", {"content": "And now?"})
            await post("/api/users/api_key", {"name": f"Key {number}"})
            async with session.post("/api/files/", data=file_form(f"File {number}".encode()), headers=HEADERS):
                pass
            await post("/api/models/create", {"name": f"model-{number}", "base_model": "echo", "params": {"temperature": 0.5}})
        user_id: str = ada["id"]
        return user_id


async def still_there(url: str, user: str) -> bool:
    """Whether the administrator still comes in."""
    token, _ = Tokens(Settings(secret_key=SECRET)).issue(user)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/auths/", headers=headers) as response:
        return response.status == OK and (await response.json())["role"] == "admin"


async def run(stack: Stack, user: str, *options: str) -> tuple[int, str]:
    """The program itself."""
    program = Path(sys.executable).with_name("schemathesis")
    command = (str(program), "--config-file", str(CONFIG), "run", f"{stack.url}/openapi.json", "--no-color", *options)
    running = await stack.start(*command, test_user=user)
    code = await running.process.wait()
    return code, running.log.read_text(encoding="utf-8")


def main() -> None:
    """From the command line."""
    seconds = int(float(sys.argv[1]) * 60)
    for filled in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            code, report = asyncio.run(found(Path(folder), seconds=seconds, filled=filled))
        sys.stdout.write(f"{report}\n{'filled' if filled else 'empty'} server: exit code {code}\n")


if __name__ == "__main__":
    main()
