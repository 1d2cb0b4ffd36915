import pytest

from core.models.functions import MAX_CONTENT
from tests.api.conftest import Client
from tests.api.function_calls import NEW, WEATHER

SECRET = "correct horse battery"


async def created(client: Client, content: str = WEATHER, **more: object) -> str:
    reply = await client.post("/api/functions/create", {"name": "weather", "content": content, **more})
    assert reply.status == 201, reply
    function_id: str = reply.body["id"]
    return function_id


async def test_a_function_is_written_read_changed_and_deleted(ada: Client) -> None:
    made = await ada.post("/api/functions/create", NEW)
    assert made.status == 201
    assert {name: made.body[name] for name in NEW} == NEW
    assert (made.body["is_active"], made.body["is_global"], made.body["version"]) == (True, False, 1)
    (entry,) = made.body["entries"]
    assert entry["parameters"] == {
        "type": "object",
        "properties": {"param": {"type": "string"}},
        "required": ["param"],
        "additionalProperties": False,
    }
    function_id = made.body["id"]
    assert (await ada.get(f"/api/functions/{function_id}")).body == made.body
    lower = NEW["content"].replace("upper", "lower")
    changed = await ada.post("/api/functions/update", {"id": function_id, "content": lower})
    assert (changed.body["content"], changed.body["version"]) == (lower, 2)
    assert [version["content"] for version in (await ada.get(f"/api/functions/{function_id}/versions")).body] == [lower, NEW["content"]]
    assert (await ada.get("/api/functions/")).body == (await ada.get("/api/functions")).body == [changed.body]
    assert (await ada.delete(f"/api/functions/{function_id}")).body is True
    assert (await ada.get(f"/api/functions/{function_id}")).status == 404


async def test_users_see_a_global_function_without_its_code(ada: Client, bob: Client) -> None:
    function_id = await created(ada)
    assert (await bob.get(f"/api/functions/{function_id}")).status == 404
    assert (await ada.post(f"/api/functions/{function_id}/toggle/global", {})).body["is_global"] is True
    (listed,) = (await bob.get("/api/functions/")).body
    assert listed == (await bob.get(f"/api/functions/{function_id}")).body
    assert {"content", "access_control", "hosts"}.isdisjoint(listed)
    assert listed["meta"]["manifest"] == {"title": "Weather", "version": "0.1.0"}
    assert (await bob.post(f"/api/functions/{function_id}/toggle", {})).status == 403
    assert (await bob.get(f"/api/functions/{function_id}/valves")).status == 403
    assert (await bob.post(f"/api/functions/{function_id}/valves/user", {"unit": "kelvin"})).body["values"] == {"unit": "kelvin"}


async def test_an_administrator_gives_the_right_to_write(ada: Client, bob: Client, eve: Client) -> None:
    assert (await bob.post("/api/functions/create", NEW)).status == 403
    assert (await ada.post("/api/configs/functions", {"user_ids": [bob.user["id"]]})).status == 200
    function_id = await created(bob, access_control={"read": {"user_ids": [eve.user["id"]]}})
    assert "content" in (await bob.get("/api/functions/")).body[0]
    assert "content" not in (await eve.get("/api/functions/")).body[0]
    assert (await eve.post("/api/functions/create", NEW)).status == 403
    assert (await ada.post("/api/configs/functions", {"roles": ["user"]})).status == 200
    assert (await eve.post("/api/functions/create", NEW)).status == 201
    assert (await eve.post("/api/functions/update", {"id": function_id, "name": "mine"})).status == 403


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("def f(:", "content: line 1, column 7: invalid syntax."),
        ("a = 1", "content: has nothing to call. Write a function, or one of the classes Tools, Pipe, Filter and Action."),
    ],
)
async def test_code_that_cannot_be_used_is_answered_with_the_reason(ada: Client, content: str, said: str) -> None:
    reply = await ada.post("/api/functions/create", {"name": "f", "content": content})
    assert (reply.status, reply.body["detail"]) == (400, said)


async def test_there_is_an_end_to_code(ada: Client) -> None:
    reply = await ada.post("/api/functions/create", {"name": "f", "content": "#" * MAX_CONTENT + "\n"})
    assert reply.status == 400
    assert "content" in reply.body["detail"]


async def test_secret_settings_are_never_shown(ada: Client) -> None:
    function_id = await created(ada)
    address = f"/api/functions/{function_id}/valves"
    answers = [await ada.post(address, {"api_key": SECRET, "url": "https://example.com"}), await ada.get(address)]
    answers += [await ada.get("/api/functions/"), await ada.get(f"/api/functions/{function_id}")]
    wrong = await ada.post(address, {"api_key": [SECRET]})
    assert (wrong.status, wrong.body["detail"]) == (400, "api_key: is not what the settings class allows (type).")
    assert all(SECRET not in str(answer.body) for answer in [*answers, wrong])
    assert answers[1].body["values"] == {"url": "https://example.com"}
    assert answers[1].body["secrets"] == ["api_key"]
    assert answers[1].body["schema"]["properties"]["api_key"]["secret"] is True


async def test_an_administrator_says_what_a_function_may_reach(ada: Client, bob: Client) -> None:
    await ada.post("/api/configs/functions", {"user_ids": [bob.user["id"]]})
    function_id = await created(bob)
    refused = await bob.post("/api/functions/update", {"id": function_id, "hosts": ["weather.example.com"]})
    assert (refused.status, "only administrators" in refused.body["detail"]) == (403, True)
    given = await ada.post("/api/functions/update", {"id": function_id, "hosts": ["Weather.example.com"]})
    assert given.body["hosts"] == ["weather.example.com"]
    assert (await bob.get(f"/api/functions/{function_id}")).body == given.body
    wrong = await ada.post("/api/functions/update", {"id": function_id, "hosts": ["https://weather.example.com/now"]})
    assert (wrong.status, wrong.body["detail"].startswith("hosts: https://weather.example.com/now is no host.")) == (400, True)
