"""Knowledge bases over REST, where no worker is."""

import pytest

from core.storage.files import Files as FileRows
from tests.api.conftest import Client
from tests.api.forms import uploaded


async def test_many_files_are_looked_up_together_and_none_is_added_where_one_is_missing(
    bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = (await bob.post("/api/knowledge/create", {"name": "Mills"})).body
    path = f"/api/knowledge/{base['id']}/files/batch/add"
    sent = [{"file_id": (await uploaded(bob, b"The mill grinds corn.", f"{number}.txt"))["id"]} for number in range(12)]
    monkeypatch.setattr(FileRows, "get", lambda *_: pytest.fail("one is looked up by itself"))
    missing = await bob.post(path, [*sent, {"file_id": "nothing"}])
    assert (missing.status, "'nothing'" in missing.body["detail"]) == (404, True)
    assert (await bob.get(f"/api/knowledge/{base['id']}")).body["files"] == []
    added = await bob.post(path, [*sent, sent[0]])
    assert added.status == 200, added
    assert [file["id"] for file in added.body["files"]] == [one["file_id"] for one in sent]
