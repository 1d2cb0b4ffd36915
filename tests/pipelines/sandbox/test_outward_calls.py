"""Calls that may reach hosts: what the usual clients get, and what remains out of reach."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import trustme
from aiohttp import web
from msgspec.structs import replace

from core.errors import Unavailable
from core.settings import Settings
from pipelines.sandbox.attacks import Attack, attempt, cause
from pipelines.sandbox.broker.broker import Broker
from pipelines.sandbox.outcome import Isolation, Limits, Outcome, Reason
from pipelines.sandbox.sandbox import Sandbox
from tests.pipelines.sandbox.attacks_outward import OUTWARD
from tests.pipelines.sandbox.calls import result
from tests.polling import until
from tests.web_pages import Names, Site, html, moved

pytestmark = pytest.mark.asyncio(loop_scope="module")

_TRUST = "ssl.create_default_context(cadata=pem)"
CLIENTS = {
    "requests": """
import requests
def get(url, pem):
    with open("/tmp/ca.pem", "w") as file:
        file.write(pem)
    answer = requests.get(url, verify="/tmp/ca.pem")
    return [answer.status_code, answer.text]
""",
    "urllib": f"""
import ssl, urllib.error, urllib.request
def get(url, pem):
    try:
        with urllib.request.urlopen(url, context={_TRUST}) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
""",
    "httpx": f"""
import httpx, ssl
def get(url, pem):
    answer = httpx.get(url, verify={_TRUST}, follow_redirects=True)
    return [answer.status_code, answer.text]
""",
    "httpx, async": f"""
import httpx, ssl
async def get(url, pem):
    async with httpx.AsyncClient(verify={_TRUST}, follow_redirects=True) as client:
        answer = await client.get(url)
        return [answer.status_code, answer.text]
""",
    "aiohttp": f"""
import aiohttp, ssl
async def get(url, pem):
    async with aiohttp.ClientSession(trust_env=True) as client, client.get(url, ssl={_TRUST}) as answer:
        return [answer.status, await answer.text()]
""",
}
LONG = Limits(seconds=60, cpu_seconds=20)


class Web:
    """A site by http and one by https, both called page.test, and who signed the second's certificate."""

    def __init__(self, plain: Site, secure: Site, pem: str) -> None:
        self.plain, self.secure, self.pem = plain, secure, pem

    def at(self, scheme: str, path: str = "/") -> str:
        return f"{scheme}://page.test:{(self.plain if scheme == 'http' else self.secure).port}{path}"

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(f"page.test:{site.port}" for site in (self.plain, self.secure))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sites() -> AsyncIterator[Web]:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("page.test").configure_cert(context)
    async with Site().serving() as plain, Site().serving(context) as secure:
        plain.pages["/"] = secure.pages["/"] = html("hello")
        yield Web(plain, secure, authority.cert_pem.bytes().decode())


@asynccontextmanager
async def opened(sites: Web, isolation: Isolation) -> AsyncIterator[Sandbox]:
    broker = Broker(Settings(fetch_allow=sites.hosts), Names(page_test=["127.0.0.1"], inside_test=["10.1.2.3"]))
    async with AsyncExitStack() as ends:
        ends.push_async_callback(broker.close)
        try:
            sandbox = await ends.enter_async_context(Sandbox.open(isolations=[isolation], broker=broker))
        except Unavailable as error:
            pytest.skip(error.detail)
        yield sandbox


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def outward(sites: Web) -> AsyncIterator[Sandbox]:
    async with opened(sites, Isolation.BUBBLEWRAP) as sandbox:
        yield sandbox


async def get(outward: Sandbox, sites: Web, client: str, url: str) -> Outcome:
    hosts = (*sites.hosts, "inside.test")
    return await outward.call(code=CLIENTS[client], function="get", arguments={"url": url, "pem": sites.pem}, limits=LONG, hosts=hosts)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_usual_clients_reach_a_host_that_is_granted(outward: Sandbox, sites: Web, client: str, scheme: str) -> None:
    assert result(await get(outward, sites, client, sites.at(scheme))) == [200, "hello"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_the_usual_clients_say_why_a_host_is_refused(outward: Sandbox, sites: Web, client: str) -> None:
    found = result(await get(outward, sites, client, "http://other.test/"))
    assert (found[0], "This function may not reach other.test on port 80" in found[1]) == (403, True)
    outcome = await get(outward, sites, client, "https://inside.test/")
    assert outcome.failure is not None
    assert "inside.test is at a private address" in outcome.failure.message


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_redirect_to_another_host_is_refused(outward: Sandbox, sites: Web, client: str) -> None:
    sites.plain.pages["/moved"] = moved("http://other.test/")
    found = result(await get(outward, sites, client, sites.at("http", "/moved")))
    assert (found[0], "may not reach other.test" in found[1]) == (403, True)


async def test_certificates_of_the_web_are_known_and_no_others(outward: Sandbox, sites: Web) -> None:
    code = """
import ssl, urllib.request
def f(url):
    known = len(ssl.create_default_context().get_ca_certs())
    try:
        urllib.request.urlopen(url)
    except urllib.error.URLError as error:
        return [known > 50, error.reason.reason]
"""
    outcome = await outward.call(code=code, function="f", arguments={"url": sites.at("https")}, limits=LONG, hosts=sites.hosts)
    assert result(outcome) == [True, "CERTIFICATE_VERIFY_FAILED"]


@pytest.mark.parametrize("attack", OUTWARD, ids=lambda attack: attack.name.replace(" ", "_"))
async def test_an_attack_from_a_call_with_hosts_fails_for_its_cause(outward: Sandbox, attack: Attack) -> None:
    zygote = outward._zygote
    outcome = await attempt(outward, attack)
    assert attack.denied(outward.isolation, cause(outcome)), (cause(outcome), attack.cause, outcome.failure)
    assert outward._zygote is zygote
    assert zygote.alive


async def test_what_listens_on_this_machine_is_out_of_reach(outward: Sandbox, sites: Web) -> None:
    body = f"socket.create_connection(('127.0.0.1', {sites.plain.port}))"
    assert (
        cause(await attempt(outward, Attack(name="the site itself", body=body, cause="ECONNREFUSED", hosts=sites.hosts))) == "ECONNREFUSED"
    )


async def test_a_call_without_hosts_has_no_way_to_the_broker(outward: Sandbox) -> None:
    assert outward._zygote._door is not None
    port = outward._zygote._door.getsockname()[1]
    body = f"assert 'HTTP_PROXY' not in os.environ\nsocket.create_connection(('127.0.0.1', {port}))"
    assert cause(await attempt(outward, Attack(name="the door", body=body, cause="EPERM"))) == "EPERM"


async def test_a_call_cannot_go_by_anothers_token(outward: Sandbox, sites: Web) -> None:
    waiting = "import os\ndef f():\n    print(os.environ['HTTP_PROXY'])\n    return os.environ['HTTP_PROXY']"
    ended = result(await outward.call(code=waiting, function="f", arguments={}, hosts=sites.hosts))
    code = "import requests\ndef f(url, proxy): return requests.get(url, proxies={'http': proxy}).status_code"
    outcome = await outward.call(code=code, function="f", arguments={"url": sites.at("http"), "proxy": ended}, hosts=("other.test",))
    assert result(outcome) == 407


async def test_too_much_is_broken_off(outward: Sandbox, sites: Web) -> None:
    sites.plain.pages["/endless"] = sites.plain.endless
    code = """
import requests
def f(url):
    try:
        requests.get(url)
    except requests.RequestException as error:
        return [type(error).__name__, requests.get(url).status_code]
"""
    limits = replace(LONG, received_bytes=1_000_000)
    outcome = await outward.call(code=code, function="f", arguments={"url": sites.at("http", "/endless")}, limits=limits, hosts=sites.hosts)
    assert result(outcome) == ["ChunkedEncodingError", 413]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_call_that_ends_leaves_no_connection(outward: Sandbox, sites: Web, scheme: str) -> None:
    site, gone = (sites.plain if scheme == "http" else sites.secure), asyncio.Event()

    async def dripping(request: web.Request) -> web.StreamResponse:
        try:
            return await site.dripping(request)
        finally:
            gone.set()

    site.pages["/dripping"] = dripping
    short = replace(LONG, seconds=1)
    outcome: Any = await outward.call(
        code=CLIENTS["urllib"],
        function="get",
        arguments={"url": sites.at(scheme, "/dripping"), "pem": sites.pem},
        limits=short,
        hosts=sites.hosts,
    )
    assert (outcome.failure.reason, site.paths[-1]) == (Reason.TIME, "/dripping")
    await until(gone.is_set, "the host is told")
    broker = outward._broker
    assert broker is not None
    await until(lambda: broker._connections == 0, "the broker holds none")


async def test_a_zygote_that_is_started_again_has_a_door(sites: Web) -> None:
    async with opened(sites, Isolation.BUBBLEWRAP) as sandbox:
        sandbox._zygote.process.kill()
        await until(lambda: not sandbox._zygote.alive, "it has ended")
        assert result(await get(sandbox, sites, "urllib", sites.at("http"))) == [200, "hello"]


async def test_by_landlock_alone_such_a_call_is_refused_and_not_run(sites: Web) -> None:
    async with opened(sites, Isolation.LANDLOCK) as sandbox:
        with pytest.raises(Unavailable, match="Outward calls need bubblewrap here"):
            await sandbox.call(code="def f(): pass", function="f", arguments={}, hosts=sites.hosts)
        assert msgspec.json.decode((await sandbox.call(code="def f(): return 1", function="f", arguments={})).result or b"") == 1


async def test_without_a_broker_such_a_call_is_refused(sites: Web) -> None:
    try:
        async with Sandbox.open(places=1) as sandbox:
            with pytest.raises(Unavailable, match="lets no function reach hosts"):
                await sandbox.call(code="def f(): pass", function="f", arguments={}, hosts=sites.hosts)
    except Unavailable as error:
        pytest.skip(error.detail)
