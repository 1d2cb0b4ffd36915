"""What operators see of how models are computed here."""

from pathlib import Path

import msgspec
import pytest

from core.models.numerics import Checked, Numerics
from core.models.pools import Pool, Worker
from core.redis.client import Scripts, connect
from core.redis.workers import WorkerRegistry
from penstock.logs import for_console
from tests.penstock.conftest import Run

VECTORS = Numerics(continued="equivalent", text="bfloat16 (AMX-BF16 90000, float32 15000 tokens per CPU-second, cosine 0.99991)")
EXACT = Numerics(continued="exact", fingerprint="0123456789abcdef", text="exact (attention by own block; checked in 0.2 s)")
OTHER = Numerics(continued="equivalent", text="equivalent: int4 products depend on the number of rows on this processor")
WORKER = Worker(id="a", pool=Pool.GPU, host="h", pid=11, device="cpu", memory_bytes=1, models=("m",), running=0, started_at=1)
CHECKED = Checked(
    model="m", continued="exact", text=EXACT.text, way="own block", seconds=0.2, processor="AMD EPYC", threads=1, kernels="kernels-1"
)

pytestmark = pytest.mark.timeout(120)


async def printed(penstock: Run, *words: str, **settings: object) -> str:
    command = penstock(*words, **settings)
    await command.start()
    await command.end()
    assert command.errors == ""
    return command.output


async def test_status_says_of_each_worker_how_it_computes_its_models_and_its_embedder_and_why(penstock: Run, redis_url: str) -> None:
    redis = connect(redis_url)
    pools = WorkerRegistry(Scripts(redis))
    await pools.report(msgspec.structs.replace(WORKER, numerics={"m": EXACT, "vectors": VECTORS}))
    await pools.report(msgspec.structs.replace(WORKER, id="b", pid=12, numerics={"m": OTHER}))
    lines = [line.split(maxsplit=4) for line in (await printed(penstock, "status", redis_url=redis_url)).splitlines()]
    shown = msgspec.json.decode(await printed(penstock, "status", "--json", redis_url=redis_url))
    await redis.aclose()
    assert ["vectors", "h", "11", "-", VECTORS.text] in lines
    assert [worker["numerics"].get("vectors", {}).get("text") for worker in shown["workers"]] == [VECTORS.text, None]
    assert ["m", "h", "11", EXACT.fingerprint, EXACT.text] in lines
    assert ["m", "h", "12", "-", OTHER.text] in lines


async def test_doctor_says_what_the_checks_of_the_workers_found(penstock: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "not checked yet" in await printed(penstock, "doctor", data_dir=data)
    folder = data / "models" / "owner" / "m-0123"
    folder.mkdir(parents=True)
    (folder / "numerics-amd.json").write_bytes(msgspec.json.encode(CHECKED))
    (folder / "numerics-being-written.json").write_bytes(b"{")
    (line,) = (line for line in (await printed(penstock, "doctor", data_dir=data)).splitlines() if "numerics" in line)
    assert line.split(maxsplit=2)[2] == f"m: {EXACT.text} [AMD EPYC, 1 thread, kernels-1]"


def test_the_console_shows_how_a_model_is_computed_where_that_is_known() -> None:
    line = {"event": "numerics", "level": "info", "model": "m", "text": OTHER.text}
    assert for_console(msgspec.json.encode(line).decode()) == f"m: {OTHER.text}"
    assert for_console(msgspec.json.encode({**line, "text": ""}).decode()) == ""
