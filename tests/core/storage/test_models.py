import pytest

from core.errors import Conflict
from core.models.catalog import CustomModel
from core.storage.models import Models
from core.storage.records.port import Records

CODER = CustomModel(id="a/coder", name="Coder", base_model_id="b", user_id="u", params={"a.b": {"$x": 1}}, created_at=1, updated_at=1)


async def test_a_custom_model_is_kept_changed_and_taken_away(records: Records) -> None:
    rows = Models(records)
    await rows.insert(CODER)
    assert await rows.get("a/coder") == CODER
    assert await rows.change("a/coder", {"is_active": False, "params": {"system": "S"}})
    (changed,) = await rows.all()
    assert (changed.is_active, changed.params, changed.name) == (False, {"system": "S"}, "Coder")
    assert await rows.remove("a/coder")
    assert (await rows.get("a/coder"), await rows.change("a/coder", {"name": "x"})) == (None, False)


async def test_an_id_is_taken_once(records: Records) -> None:
    rows = Models(records)
    await rows.insert(CODER)
    with pytest.raises(Conflict):
        await rows.insert(CODER)
