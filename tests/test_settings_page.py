"""docs/settings.md says what the code does."""

import re
from enum import StrEnum
from pathlib import Path

import msgspec

from core.settings import PREFIX, Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
ROW = re.compile(r"^\| `(PENSTOCK_\w+)` \| (?:`(.*?)`)? ?\| (.+) \|$", re.MULTILINE)


def shown(value: object) -> str:
    """A default as the page writes it; nothing for none."""
    return str(value.value if isinstance(value, StrEnum) else value) if value not in ("", ()) else ""


def test_every_setting_is_documented_with_its_default_and_nothing_else_is() -> None:
    documented = {name: default for name, default, meaning in ROW.findall(PAGE.read_text(encoding="utf-8")) if meaning}
    fields = msgspec.structs.fields(Settings)
    assert documented == {PREFIX + field.name.upper(): shown(field.default) for field in fields}
