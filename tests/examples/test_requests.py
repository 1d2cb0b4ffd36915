import asyncio
import json
import re
from typing import Any

import pytest

from tests.api.conftest import Client, Reply
from tests.api.forms import HEADERS, file_form, uploaded
from tests.examples.conftest import Server
from tests.examples.printed import CALLS, PRINTED, Call, assert_holds
from tests.ollama import Ollama

pytestmark = pytest.mark.asyncio(loop_scope="package")

TEST = "Execute Function (Test)"
TESTED = "def my_function(param: str) -> str:\n    return param.upper()"
CREATING = {"Sign Up", "Upload File", "Create Chat", "Create Custom Model", "Create API Key", "Create Function"}
ANSWERED_LIKE = {"Sign In": "Sign Up", "Use API Key": "List Chats", "Create Chat": "Get Chat by ID", "Update Chat": "Get Chat by ID"}


async def _filled(call: Call, name: str, server: Server) -> Call:
    """With tokens and ids of things that are there."""
    path, headers, body = call.path, dict(call.headers), call.body.replace("[...]", '[{"role": "user", "content": "Hello!"}]')
    if "{chat_id}" in path:
        path = path.replace("{chat_id}", await server.chat())
    if "{user_id}" in path:
        other = name in {"Update User Role (Admin Only)", "Delete User (Admin Only)"}
        path = path.replace("{user_id}", (await server.visitor()).user["id"] if other else server.john.user["id"])
    if "{file_id}" in path:
        path = path.replace("{file_id}", (await uploaded(server.john))["id"])
    if "function_id" in path or "func_123" in body:
        function_id = await (server.function(TESTED) if name == TEST else server.function())
        path, body = path.replace("{function_id}", function_id), body.replace("func_123", function_id)
    if headers.get("Content-Type") == "multipart/form-data":
        headers, body = headers | HEADERS, file_form(body.removeprefix("file: ").encode(), "document.pdf").decode()
    if "Authorization" in headers:
        headers["Authorization"] = f"Bearer {await _token(headers['Authorization'], server)}"
    return Call(call.method, path, headers, body)


async def _token(printed: str, server: Server) -> str:
    if "ADMIN_TOKEN" in printed:
        return server.admin.token
    if "sk-" in printed:
        key: str = (await server.john.post("/api/users/api_key", {"name": "k"})).body["api_key"]
        return key
    return server.john.token


async def _send(server: Server, call: Call) -> Reply:
    nobody = Client(server.url, server.john.session)
    return await nobody.ask(call.method, call.path, call.body.encode() or None, headers=call.headers)


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"Streamed Completion", "Pull Model (Ollama)"}))
async def test_a_printed_request_gets_the_printed_answer(server: Server, name: str) -> None:
    if name in {"List Chats", "Use API Key"}:
        await server.chat()
    if name == "List Functions":
        await server.function()
    reply = server.welcome if name == "Sign Up" else await _send(server, await _filled(CALLS[name], name, server))
    assert reply.status == (201 if name in CREATING else 200), reply
    printed = [block.text for block in PRINTED[ANSWERED_LIKE.get(name, name)] if block.language == "json"]
    for text in printed:
        expected = json.loads(text)
        if name in {"Create Chat", "Update Chat"}:
            expected["chat"]["messages"] = []
        assert_holds(reply.body, expected)


async def test_the_printed_test_of_a_function_is_a_real_call(server: Server) -> None:
    reply = await _send(server, await _filled(CALLS[TEST], TEST, server))
    assert (reply.body["result"], reply.body["stdout"], reply.body["error"]) == ("TEST", "", None)


async def test_a_printed_stream_comes_in_the_printed_form(server: Server) -> None:
    call = await _filled(CALLS["Streamed Completion"], "", server)
    async with server.john.session.post(server.url + call.path, data=call.body.encode(), headers=call.headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        lines = [line for line in (await response.text()).splitlines() if line.startswith("data: ")]
    printed = PRINTED["Streamed Completion"][1].text.split("\n\n")
    assert lines[-1] == printed[-1] == "data: [DONE]"
    chunks: list[Any] = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    said = [chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["delta"].get("content")]
    for chunk in said:
        assert_holds(chunk, json.loads(printed[0].removeprefix("data: ")))
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in said) == "Write a poem"


async def test_the_printed_pull_brings_the_model_in_ollamas_lines(server: Server, ollama: Ollama) -> None:
    call = CALLS["Pull Model (Ollama)"]
    headers = {**call.headers, "Authorization": f"Bearer {server.admin.token}"}
    async with server.admin.session.post(server.url + call.path, data=call.body.encode(), headers=headers) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        lines = [json.loads(line) async for line in response.content]
    assert lines[-1]["status"] == "success"
    assert ollama.models == ["llama3.3:70b"]


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"Sign Up", "Sign In"}))
async def test_a_printed_request_without_a_token_is_refused(server: Server, name: str) -> None:
    call = CALLS[name]
    path = re.sub(r"\{\w+\}", "x", call.path)
    headers = {field: value for field, value in call.headers.items() if field != "Authorization"}
    reply = await _send(server, call._replace(path=path, headers=headers))
    assert reply.status == 401, reply
    assert_holds(reply.body, json.loads(PRINTED["Error"][0].text))


@pytest.mark.parametrize(
    ("status", "who", "method", "path", "body"),
    [
        (400, "nobody", "POST", "/api/auths/signup", {"name": "x", "email": "x", "password": "secure_password"}),
        (401, "nobody", "POST", "/api/auths/signin", {"email": "x@example.com", "password": "secure_password"}),
        (403, "john", "GET", "/api/users/", None),
        (404, "john", "GET", "/api/chats/no-such-chat", None),
    ],
)
async def test_an_error_has_the_printed_form(server: Server, status: int, who: str, method: str, path: str, body: Any) -> None:
    client = server.john if who == "john" else Client(server.url, server.john.session)
    reply = await client.ask(method, path, body)
    assert reply.status == status, reply
    assert_holds(reply.body, json.loads(PRINTED["Error"][0].text))


async def test_the_rate_limit_is_the_printed_one_with_the_printed_headers(server: Server) -> None:
    visitor = await server.visitor()
    replies = await asyncio.gather(*(visitor.get("/api/auths/") for _ in range(101)))
    assert sorted(reply.status for reply in replies) == [200] * 100 + [429]
    printed = dict(line.split(": ") for line in PRINTED["Rate Limit Headers"][0].text.splitlines())
    for reply in replies:
        assert {name: reply.headers[name].isdigit() for name in printed} == dict.fromkeys(printed, True)
        assert reply.headers["X-RateLimit-Limit"] == printed["X-RateLimit-Limit"]
    refused = next(reply for reply in replies if reply.status == 429)
    assert_holds(refused.body, json.loads(PRINTED["Error"][0].text))
    admins = await asyncio.gather(*(server.admin.get("/api/auths/") for _ in range(101)))
    assert {reply.status for reply in admins} == {200}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_documentation_is_where_it_was_said_to_be(server: Server, path: str) -> None:
    async with server.john.session.get(server.url + path) as response:
        assert (response.status, response.content_type) == (200, "text/html")
