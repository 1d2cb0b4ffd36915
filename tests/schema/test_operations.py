"""Queries and mutations, over every transport."""

import time
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from core.models.users import Role, Session
from core.services import Services
from core.settings import Settings
from tests.polling import until
from tests.schema.graphql_documents import ASK, CHAT, CHATS, CREATE, HISTORY, ME, SIGN_IN, STOP
from tests.schema.transports import Answer, Transport


def code(answer: Answer) -> str:
    """The first error's."""
    found: str = answer["errors"][0]["extensions"]["code"]
    return found


async def test_signing_up_and_in_gives_a_token_that_says_who_one_is(transport: Transport) -> None:
    up = await transport.ask(
        'mutation { signUp(name: "Ada", email: "ADA@example.com", password: "correct horse") { token user { role } } }'
    )
    assert up["data"]["signUp"]["user"] == {"role": "ADMIN"}
    session = (await transport.ask(SIGN_IN, email="ada@example.com", password="correct horse"))["data"]["signIn"]
    me = (await transport.ask(ME, session["token"]))["data"]["me"]
    assert {**session["user"], "createdAt": me["createdAt"]} == me
    assert me["email"] == "ada@example.com"


async def test_a_wrong_password_is_unauthenticated(transport: Transport, ada: Session) -> None:
    assert code(await transport.ask(SIGN_IN, email=ada.user.email, password="wrong")) == "unauthenticated"


async def test_everything_but_signing_in_needs_a_token(transport: Transport, ada: Session) -> None:
    for query, variables in ((ME, {}), ("{ models { id } }", {}), (CHATS, {}), (CREATE, {"title": "x"}), (STOP, {"id": ada.user.id})):
        assert code(await transport.ask(query, **variables)) == "unauthenticated"


async def test_a_chat_is_created_listed_and_read(transport: Transport, ada: Session) -> None:
    made = (await transport.ask(CREATE, ada.token, title="Rivers"))["data"]["createChat"]["chat"]
    assert (await transport.ask(CHATS, ada.token))["data"]["chats"]["nodes"] == [{"title": "Rivers"}]
    assert (await transport.ask(CHAT, ada.token, id=made["id"]))["data"]["chat"] == {"title": "Rivers", "messages": {"nodes": []}}


async def test_a_strangers_chat_is_not_found(transport: Transport, ada: Session, bob: Session) -> None:
    made = (await transport.ask(CREATE, ada.token, title="Secret"))["data"]["createChat"]["chat"]
    answer = await transport.ask(CHAT, bob.token, id=made["id"])
    assert (answer["data"], code(answer)) == ({"chat": None}, "not_found")
    assert (await transport.ask(CHATS, bob.token))["data"]["chats"]["nodes"] == []


async def test_chats_come_in_pages(transport: Transport, services: Services, ada: Session) -> None:
    principal = await services.users.authenticate(ada.token)
    for number in range(5):
        await services.chats.create(principal, {"title": f"Chat {number}"})
    seen, after, pages = [], None, 0
    while pages == 0 or after:
        page = (await transport.ask(CHATS, ada.token, first=2, after=after))["data"]["chats"]
        seen += [node["title"] for node in page["nodes"]]
        after, pages = (page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None), pages + 1
    assert (sorted(seen), pages) == ([f"Chat {number}" for number in range(5)], 3)


async def test_a_page_has_its_limit(transport: Transport, ada: Session) -> None:
    answer = await transport.ask(CHATS, ada.token, first=101)
    assert code(answer) == "bad_request"
    assert answer["errors"][0]["extensions"]["param"] == "first"


async def test_a_history_is_read_backwards_page_by_page(transport: Transport, services: Services, ada: Session) -> None:
    principal = await services.users.authenticate(ada.token)
    posted = [{"id": f"m{number}", "role": "user", "content": f"{number}"} for number in range(5)]
    chat = (await services.chats.create(principal, {"title": "Long", "messages": posted})).chat
    newest = (await transport.ask(HISTORY, ada.token, id=chat.id, last=2))["data"]["chat"]["messages"]
    assert [edge["node"]["content"] for edge in newest["edges"]] == ["3", "4"]
    assert newest["pageInfo"] == {"hasPreviousPage": True, "hasNextPage": False, "startCursor": newest["edges"][0]["cursor"]}
    rest = (await transport.ask(HISTORY, ada.token, id=chat.id, last=3, before=newest["pageInfo"]["startCursor"]))["data"]["chat"][
        "messages"
    ]
    assert [edge["node"]["content"] for edge in rest["edges"]] == ["0", "1", "2"]


async def test_a_message_is_stored_with_the_answer_that_is_being_made(transport: Transport, ada: Session) -> None:
    chat = (await transport.ask(CREATE, ada.token, title="Rivers"))["data"]["createChat"]["chat"]
    sent = (await transport.ask(ASK, ada.token, chatId=chat["id"], content="Where does it flow?"))["data"]["sendMessage"]
    asked, answer = sent["userMessage"], sent["assistantMessage"]
    assert asked == {"id": asked["id"], "chatId": chat["id"], "role": "user", "content": "Where does it flow?", "done": True}
    assert answer == {
        "id": answer["id"],
        "role": "assistant",
        "content": "",
        "done": False,
        "generationId": sent["generationId"],
        "model": "echo",
    }
    stored = (await transport.ask(CHAT, ada.token, id=chat["id"]))["data"]["chat"]["messages"]["nodes"]
    assert [message["id"] for message in stored] == [asked["id"], answer["id"]]


async def test_a_model_that_is_not_there_is_named_so(transport: Transport, ada: Session) -> None:
    chat = (await transport.ask(CREATE, ada.token, title="Rivers"))["data"]["createChat"]["chat"]
    assert code(await transport.ask(ASK, ada.token, chatId=chat["id"], content="Hi", model="nobody")) == "model_not_found"


async def test_a_generation_is_stopped_only_by_those_who_may_see_it(transport: Transport, ada: Session, bob: Session) -> None:
    chat = (await transport.ask(CREATE, ada.token, title="Rivers"))["data"]["createChat"]["chat"]
    generation_id = (await transport.ask(ASK, ada.token, chatId=chat["id"], content="Hi"))["data"]["sendMessage"]["generationId"]
    assert code(await transport.ask(STOP, bob.token, id=generation_id)) == "not_found"
    assert (await transport.ask(STOP, ada.token, id=generation_id))["data"]["stopGeneration"] == {"generationId": generation_id}


async def test_models_are_listed(transport: Transport, ada: Session) -> None:
    answer = await transport.ask("{ models { id name ownedBy pool contextLength } }", ada.token)
    assert answer["data"]["models"] == [{"id": "echo", "name": "Echo", "ownedBy": "penstock", "pool": "gpu", "contextLength": 2048}]


async def test_an_unexpected_error_is_masked_with_a_reference(transport: Transport, services: Services, ada: Session) -> None:
    await services.redis.hset("models", "broken", "this is not JSON")
    await until(lambda: services.catalogue._cached_until < time.monotonic(), "the catalogue is read anew")
    with capture_logs() as logs:
        answer = await transport.ask("{ models { id } }", ada.token)
    assert code(answer) == "internal_error"
    told = [line for line in logs if line["event"] == "unhandled error" and line.get("face") != "core"]  # upkeep reads the catalogue, too
    assert [line["reference"] for line in told] == [answer["errors"][0]["extensions"]["reference"]]
    assert answer["errors"][0]["extensions"]["reference"] in answer["errors"][0]["message"]
    assert "JSON" not in str(answer["errors"])


async def test_a_field_that_does_not_exist_and_a_wrong_variable_are_bad_requests(transport: Transport, ada: Session) -> None:
    assert code(await transport.ask("{ nothing }", ada.token)) == "bad_request"
    assert code(await transport.ask(CHATS, ada.token, first="many")) == "bad_request"


async def test_limits_hold(transport: Transport, ada: Session) -> None:
    aliases = " ".join(f"a{number}: __typename" for number in range(51))
    nested = "{ chats { nodes { messages { nodes { id } } } } }"
    tokens = "{ " + "me { id } " * 600 + "}"
    deep = "{" + "chats { nodes { messages { pageInfo " * 4 + "{ hasNextPage }" + "}}}" * 4 + "}"
    for query, told in (("{ " + aliases + " }", "aliases"), (deep, "levels"), (tokens, "tokens")):
        answer = await transport.ask(query, ada.token)
        assert (code(answer), told in answer["errors"][0]["message"]) == ("bad_request", True)
    assert (await transport.ask(nested, ada.token))["data"] == {"chats": {"nodes": []}}


async def test_the_histories_of_many_chats_are_read_at_once(
    transport: Transport, services: Services, ada: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal, find, finds = await services.users.authenticate(ada.token), services.records.find, []
    for number in range(10):
        await services.chats.create(principal, {"title": f"{number}", "messages": [{"role": "user", "content": f"in {number}"}]})

    async def counted(collection: Any, *words: Any, **options: Any) -> Any:
        finds.append(collection.name)
        return await find(collection, *words, **options)

    monkeypatch.setattr(services.records, "find", counted)
    answer = await transport.ask("{ chats { nodes { title messages { nodes { content } } } } }", ada.token)
    found = {chat["title"]: [message["content"] for message in chat["messages"]["nodes"]] for chat in answer["data"]["chats"]["nodes"]}
    assert found == {f"{number}": [f"in {number}"] for number in range(10)}
    assert finds == ["chats", "chats", "messages"]


class TestLimited:
    """A server with a small rate limit."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, rate_limit_per_minute=5)

    async def test_every_operation_takes_a_place_and_every_thing_that_a_mutation_does(self, transport: Transport, bob: Session) -> None:
        three = "mutation { " + " ".join(f'c{n}: createChat(input: {{title: "x"}}) {{ chat {{ id }} }}' for n in range(3)) + " }"
        assert len((await transport.ask(three, bob.token))["data"]) == 3
        assert (await transport.ask(CHATS, bob.token))["data"]
        assert (await transport.ask(ME, bob.token))["data"]
        answer = await transport.ask(ME, bob.token)
        assert code(answer) == "rate_limit_exceeded"
        assert 0 < answer["errors"][0]["extensions"]["retryAfter"] <= 60

    async def test_a_mutation_beyond_the_limit_does_nothing(self, transport: Transport, services: Services, bob: Session) -> None:
        six = "mutation { " + " ".join(f'c{n}: createChat(input: {{title: "x"}}) {{ chat {{ id }} }}' for n in range(6)) + " }"
        assert code(await transport.ask(six, bob.token)) == "rate_limit_exceeded"
        assert await services.chats.list(await services.users.authenticate(bob.token)) == []


class TestPending:
    """A server whose newcomers wait for an administrator."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, default_user_role=Role.PENDING)

    async def test_a_pending_user_sees_only_themself(self, transport: Transport, bob: Session) -> None:
        assert (await transport.ask(ME, bob.token))["data"]["me"]["role"] == "PENDING"
        for query in ("{ models { id } }", CHATS, 'mutation { createChat(input: {title: "x"}) { chat { id } } }'):
            assert code(await transport.ask(query, bob.token)) == "forbidden"
