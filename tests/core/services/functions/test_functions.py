import asyncio

import msgspec
import pytest

from core.errors import BadRequest, Conflict, Forbidden, NotFound
from core.models.configs import FunctionRightChanges, FunctionRights
from core.models.functions import CreateFunction, Definition, FunctionKind, UpdateFunction
from core.models.knowledge import AccessControl, AccessList
from core.models.users import Role
from core.services.configs import Configs
from core.services.functions import functions as service
from core.services.functions.functions import Functions
from tests.core.services.functions.conftest import define
from tests.core.services.people import ADMIN, ME, STRANGER

UPPER = "def shout(text: str) -> str:\n    return text.upper()"
LOWER = "def shout(text: str) -> str:\n    return text.lower()"
NEW = CreateFunction(name="shout", content=UPPER)


def shared(*, read: tuple[str, ...] = (), write: tuple[str, ...] = ()) -> AccessControl:
    return AccessControl(read=AccessList(user_ids=read), write=AccessList(user_ids=write))


async def test_a_new_function_is_its_authors_alone(functions: Functions) -> None:
    made = await functions.create(ME, NEW, define)
    assert (made.type, made.version, made.is_active, made.is_global) == (FunctionKind.FUNCTION, 1, True, False)
    assert made.definition.entries[0].parameters["required"] == ["text"]
    assert await functions.get(ME, made.id) == made
    assert await functions.list(ME) == await functions.list(ADMIN) == [made]
    assert await functions.list(STRANGER) == []
    for ask in (functions.get, functions.toggle, functions.toggle_global, functions.delete, functions.versions):
        with pytest.raises(NotFound):
            await ask(STRANGER, made.id)


async def test_writing_takes_the_right_to(functions: Functions, configs: Configs) -> None:
    with pytest.raises(Forbidden, match="api/configs/functions"):
        await functions.create(STRANGER, NEW, define)
    await configs.change(ADMIN, FunctionRights, FunctionRightChanges(roles=(Role.USER,)))
    made = await functions.create(STRANGER, NEW, define)
    await configs.change(ADMIN, FunctionRights, FunctionRightChanges(roles=()))
    assert not functions.may_edit(STRANGER, made)
    assert await functions.get(STRANGER, made.id) == made
    with pytest.raises(Forbidden):
        await functions.update(STRANGER, UpdateFunction(id=made.id, content=LOWER), define)


async def test_who_it_is_shared_with_may_use_it_or_change_it(functions: Functions) -> None:
    made = await functions.create(ADMIN, msgspec.structs.replace(NEW, access_control=shared(read=(STRANGER.id,), write=(ME.id,))), define)
    assert await functions.list(STRANGER) == await functions.list(ME) == [made]
    assert (functions.may_edit(STRANGER, made), functions.may_edit(ME, made)) == (False, True)
    changed = await functions.update(ME, UpdateFunction(id=made.id, content=LOWER), define)
    assert (changed.content, changed.user_id) == (LOWER, ADMIN.id)
    with pytest.raises(Forbidden, match="Only the owner"):
        await functions.update(ME, UpdateFunction(id=made.id, access_control=shared()), define)
    with pytest.raises(Forbidden, match="Only its owner"):
        await functions.delete(ME, made.id)
    await functions.update(ADMIN, UpdateFunction(id=made.id, access_control=shared()), define)
    assert await functions.list(STRANGER) == await functions.list(ME) == []


async def test_a_global_function_is_everybodys_to_use(functions: Functions) -> None:
    made = await functions.create(ME, NEW, define)
    with pytest.raises(Forbidden, match="Only administrators"):
        await functions.toggle_global(ME, made.id)
    assert (await functions.toggle_global(ADMIN, made.id)).is_global
    assert [function.id for function in await functions.list(STRANGER)] == [made.id]
    assert (await functions.get_callable(STRANGER, made.id)).id == made.id
    assert not (await functions.toggle(ME, made.id)).is_active
    with pytest.raises(Forbidden, match="switched off"):
        await functions.get_callable(STRANGER, made.id)
    assert (await functions.toggle(ME, made.id)).is_active
    assert not (await functions.toggle_global(ADMIN, made.id)).is_global
    assert await functions.list(STRANGER) == []


async def test_other_code_is_another_version_and_the_old_one_stays(functions: Functions) -> None:
    made = await functions.create(ME, NEW, define)
    renamed = await functions.update(ME, UpdateFunction(id=made.id, name="Shout", content=UPPER), define)
    assert (renamed.version, renamed.version_id, renamed.name) == (1, made.version_id, "Shout")
    changed = await functions.update(ME, UpdateFunction(id=made.id, content="class Tools:\n  def a(self): ..."), define)
    assert (changed.version, changed.type) == (2, FunctionKind.TOOLS)
    assert [version.number for version in await functions.versions(ME, made.id)] == [2, 1]
    old = await functions.find_version(made.version_id)
    assert old
    assert (old.content, old.definition) == (UPPER, made.definition)


async def test_of_two_who_change_one_at_once_one_is_told(atomic_functions: Functions) -> None:
    functions = atomic_functions
    made = await functions.create(ME, NEW, define)
    changes = (UpdateFunction(id=made.id, content=f"{LOWER}  # {number}") for number in range(2))

    async def slowly(content: str, name: str) -> Definition:
        await asyncio.sleep(0.05)
        return await define(content, name)

    ends = await asyncio.gather(*(functions.update(ME, change, slowly) for change in changes), return_exceptions=True)
    assert [type(end) for end in ends].count(Conflict) == 1
    assert [version.number for version in await functions.versions(ME, made.id)] == [2, 1]


async def test_the_oldest_versions_go(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_VERSIONS", 2)
    made = await functions.create(ME, NEW, define)
    for number in range(3):
        await functions.update(ME, UpdateFunction(id=made.id, content=f"{LOWER}  # {number}"), define)
    assert [version.number for version in await functions.versions(ME, made.id)] == [4, 3]


async def test_a_deleted_function_leaves_nothing(functions: Functions) -> None:
    made = await functions.create(ME, NEW, define)
    await functions.delete(ME, made.id)
    assert await functions.find_version(made.version_id) is None
    with pytest.raises(NotFound):
        await functions.get(ME, made.id)
    other = await functions.create(ME, NEW, define)
    await functions.remove_user(ME.id)
    assert await functions.list(ADMIN) == []
    assert await functions.find_version(other.version_id) is None


@pytest.mark.parametrize(
    ("command", "param"),
    [
        (CreateFunction(name=" ", content=UPPER), "name"),
        (CreateFunction(name="a", content="def f(:"), "content"),
        (CreateFunction(name="a", content=UPPER, type=FunctionKind.FILTER), "type"),
    ],
)
async def test_what_cannot_be_kept_is_named(functions: Functions, command: CreateFunction, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await functions.create(ME, command, define)
    assert caught.value.param == param


async def test_nobody_has_more_than_so_many(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_PER_USER", 1)
    await functions.create(ME, NEW, define)
    with pytest.raises(BadRequest, match="the limit"):
        await functions.create(ME, NEW, define)


async def test_only_administrators_say_what_a_function_may_reach(functions: Functions) -> None:
    with pytest.raises(Forbidden, match="only administrators"):
        await functions.create(ME, msgspec.structs.replace(NEW, hosts=("api.example.org",)), define)
    made = await functions.create(ME, NEW, define)
    assert made.hosts == ()
    with pytest.raises(Forbidden, match="only administrators"):
        await functions.update(ME, UpdateFunction(id=made.id, hosts=("api.example.org",)), define)
    hosts = ("API.example.org", "*.example.net:8443", "api.example.org")
    given = await functions.update(ADMIN, UpdateFunction(id=made.id, hosts=hosts), define)
    assert given.hosts == ("api.example.org", "*.example.net:8443")
    assert (given.version, await functions.get(ME, made.id)) == (1, given)
    changed = await functions.update(ME, UpdateFunction(id=made.id, content=LOWER, hosts=given.hosts), define)
    assert changed.hosts == given.hosts
    with pytest.raises(Forbidden, match="only administrators"):
        await functions.update(ME, UpdateFunction(id=made.id, hosts=("api.example.org",)), define)
    assert (await functions.update(ME, UpdateFunction(id=made.id, hosts=()), define)).hosts == ()


async def test_a_change_does_not_bring_back_hosts_that_were_taken_away_meanwhile(functions: Functions) -> None:
    made = await functions.create(ADMIN, msgspec.structs.replace(NEW, hosts=("a.example",), access_control=shared(write=(ME.id,))), define)

    async def meanwhile(content: str, name: str) -> Definition:
        await functions.update(ADMIN, UpdateFunction(id=made.id, hosts=()), define)
        return await define(content, name)

    await functions.update(ME, UpdateFunction(id=made.id, content=LOWER), meanwhile)
    assert (await functions.get(ADMIN, made.id)).hosts == ()


@pytest.mark.parametrize(
    "host", ["https://a.example", "a.example/x", "10.0.0.1", "[::1]", "*", "*.org", "a.example:0", "a b", "", "a:99999"]
)
async def test_what_is_no_host_cannot_be_granted(functions: Functions, host: str) -> None:
    with pytest.raises(BadRequest, match=r"hosts: .* is no host"):
        await functions.create(ADMIN, msgspec.structs.replace(NEW, hosts=(host,)), define)
