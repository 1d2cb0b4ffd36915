"""A plain user ingests more files than they may make requests a minute, with the settings as they come, and waits for no limit."""

from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from api.app import create_app
from core.settings import Settings
from penstock import ingest
from tests.api.conftest import ada, bob, visitor
from tests.knowledge_work import embedder, worker
from tests.penstock.test_ingest import Runner, runner
from tests.serving import quick_passwords, services, url

__all__ = ["ada", "bob", "embedder", "quick_passwords", "runner", "services", "url", "visitor", "worker"]

FILES = 120


@pytest.fixture
def asked() -> Counter[tuple[str, str, int]]:
    """How often what was asked: method, route, status."""
    return Counter()


@pytest.fixture
def app(settings: Settings, asked: Counter[tuple[str, str, int]], quick_passwords: None) -> web.Application:
    assert quick_passwords is None
    app = create_app(settings)

    async def count(request: web.Request, response: web.StreamResponse) -> None:
        resource = request.match_info.route.resource
        asked[request.method, resource.canonical if resource else request.path, response.status] += 1

    app.on_response_prepare.append(count)
    return app


@pytest.mark.usefixtures("worker")
async def test_more_files_than_the_limit_of_requests_are_put_in_without_waiting(
    runner: Runner,
    settings: Settings,
    tmp_path: Path,
    asked: Counter[tuple[str, str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings.rate_limit_per_minute < FILES < settings.upload_rate_limit_per_minute == Settings().upload_rate_limit_per_minute
    folder, waits = tmp_path / "docs", list[str]()
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.md").write_text(f"The mill {number}.")
    monkeypatch.setattr(ingest._Run, "_wait", lambda _, why: waits.append(why))
    asked.clear()
    code, report = await runner.run(folder)
    assert (code, report["ready"], waits, {status for _, _, status in asked if status >= 300}) == (0, FILES, [], set())
    begun = asked["POST", "/api/knowledge/{knowledge_id}/ingest", 201]
    assert asked["POST", "/api/files/", 201] == FILES
    assert asked["GET", "/api/jobs/{job_id}/events", 200] == begun
    assert asked["GET", "/api/jobs/{job_id}", 200] == begun, "each job was asked for at its end alone"
    assert sum(asked.values()) - FILES < settings.rate_limit_per_minute
