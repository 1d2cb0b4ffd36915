"""What operators see of what runs, and of what does not."""

from pathlib import Path

import pytest

from core.errors import Unavailable
from core.settings import Settings
from penstock import data_dir
from penstock.data_dir import Running
from penstock.status import status

FAILING = {"gpu": "exit code 3: error: fatal device error", "redis": "killed by SIGKILL"}


def test_it_names_what_fails_also_while_redis_does(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(data_dir=tmp_path)
    with data_dir.hold(tmp_path, "http://127.0.0.1:8080") as held:
        held.tell(Running(pid=1, url="", redis_url=redis_url, failing=FAILING))
        text, alive = status(settings)
        assert not alive
        rows = [line.split(maxsplit=1) for line in text.splitlines()]
        assert [name_and_death for name_and_death in FAILING.items() if list(name_and_death) in rows] == list(FAILING.items())
        held.tell(Running(pid=1, url="", redis_url=f"unix://{tmp_path}/not-there?db=0", failing=FAILING))
        with pytest.raises(Unavailable, match=r"dies again and again: gpu \(exit code 3: .*\), redis \(killed by SIGKILL\)\.$"):
            status(settings)
        held.tell(Running(pid=1, url="", redis_url=redis_url))
        assert "FAILING" not in status(settings)[0]
