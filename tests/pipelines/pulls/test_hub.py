import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from core.errors import BadRequest, Forbidden, ModelNotFound, PenstockError, Unavailable, UpstreamBroken, UpstreamRefused
from core.models.events import Progress
from core.models.pulls import MARKER, Origin, Pulled, PullTask
from core.settings import Settings
from pipelines.pulls import download, hub
from pipelines.pulls.hub import choose_files
from pipelines.pulls.puller import Puller
from tests.hub import COMMIT, HubMirror
from tests.ports import free_port

WEIGHTS = random.Random(1).randbytes(3_000_000)
FILES = {
    "config.json": b'{"architectures":["LlamaForCausalLM"]}',
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"pickled",
    "modeling.py": b"import os",
    "original/consolidated.safetensors": b"x",
}
LLAMA = "tiny/llama"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)


@pytest.fixture
async def mirror() -> AsyncIterator[HubMirror]:
    async with HubMirror({LLAMA: FILES}).serving() as serving:
        yield serving


@pytest.fixture
async def puller(tmp_path: Path, mirror: HubMirror) -> AsyncIterator[Puller]:
    made = Puller(Settings(data_dir=tmp_path, hf_endpoint=mirror.url))
    yield made
    await made.close()


def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny" / "llama" / COMMIT[:12]


async def steps(puller: Puller, name: str = LLAMA, source: Origin | None = Origin.HUGGINGFACE) -> list[Progress]:
    return [step async for step in puller.pull(PullTask(name=name, source=source))]


async def test_weights_and_what_belongs_to_them_arrive_and_nothing_that_could_run(puller: Puller, tmp_path: Path) -> None:
    found = await steps(puller)
    there = {path.name: path.read_bytes() for path in folder(tmp_path).iterdir() if path.name != MARKER}
    assert there == {name: FILES[name] for name in ("config.json", "model.safetensors", "tokenizer.json")}
    told = msgspec.json.decode((folder(tmp_path) / MARKER).read_bytes(), type=Pulled)
    assert (told.id, told.revision) == (LLAMA, COMMIT)
    assert (found[0].status, found[-1].status) == ("pulling manifest", "writing manifest")
    weights = [step for step in found if step.status == "pulling model.safetensors"]
    assert (weights[-1].completed, weights[-1].total) == (len(WEIGHTS), len(WEIGHTS))
    assert (weights[-1].digest or "").startswith("sha256:")


async def test_a_file_that_breaks_off_goes_on_from_where_it_was(puller: Puller, mirror: HubMirror, tmp_path: Path) -> None:
    mirror.breaks = 2
    await steps(puller)
    ranges = [wanted for name, wanted in mirror.asked if name == "model.safetensors"]
    assert (len(ranges), ranges[0]) == (3, None)
    assert all(wanted and int(wanted[6:-1]) > 0 for wanted in ranges[1:])
    assert (folder(tmp_path) / "model.safetensors").read_bytes() == WEIGHTS


async def test_a_server_that_knows_no_ranges_sends_the_file_again(puller: Puller, mirror: HubMirror, tmp_path: Path) -> None:
    mirror.breaks, mirror.ignores_ranges = 1, True
    await steps(puller)
    assert (folder(tmp_path) / "model.safetensors").read_bytes() == WEIGHTS


async def test_a_pull_that_was_left_is_gone_on_with_and_what_is_there_is_not_fetched_again(
    puller: Puller, mirror: HubMirror, tmp_path: Path
) -> None:
    async with aclosing(puller.pull(PullTask(name=LLAMA))) as first:
        async for step in first:
            if step.status == "pulling model.safetensors" and step.completed:
                break
    assert not (folder(tmp_path) / MARKER).exists()
    mirror.asked.clear()
    await steps(puller)
    assert [name for name, _ in mirror.asked] == ["model.safetensors"]
    assert mirror.asked[0][1]
    mirror.asked.clear()
    await steps(puller)
    assert mirror.asked == []


async def test_a_damaged_file_is_not_kept(puller: Puller, mirror: HubMirror, tmp_path: Path) -> None:
    mirror.damages = True
    with pytest.raises(UpstreamBroken, match="checksum"):
        await steps(puller)
    assert not (folder(tmp_path) / "model.safetensors").exists()
    mirror.damages = False
    await steps(puller)
    assert (folder(tmp_path) / "model.safetensors").read_bytes() == WEIGHTS


async def test_what_breaks_off_again_and_again_is_given_up_with_a_clear_word(puller: Puller, mirror: HubMirror) -> None:
    mirror.silent = True
    with pytest.raises(UpstreamBroken, match="is kept"):
        await steps(puller)


async def test_what_is_not_there_or_not_ours_is_refused_before_anything_begins(puller: Puller, mirror: HubMirror) -> None:
    mirror.repositories["tiny/gated"] = FILES
    mirror.repositories["tiny/pickles"] = {"config.json": b"{}", "pytorch_model.bin": b"x"}
    mirror.gated.add("tiny/gated")
    for name, refusal in (("tiny/nothing", ModelNotFound), ("tiny/gated", Forbidden), ("tiny/pickles", BadRequest)):
        with pytest.raises(refusal):
            await anext(puller.pull(PullTask(name=name)))


async def test_a_token_opens_private_repositories(mirror: HubMirror, tmp_path: Path) -> None:
    mirror.token = "hf_secret"
    stranger = Puller(Settings(data_dir=tmp_path, hf_endpoint=mirror.url))
    with pytest.raises(PenstockError) as refused:
        await steps(stranger)
    assert refused.value.status in {403, 404}
    await stranger.close()
    friend = Puller(Settings(data_dir=tmp_path, hf_endpoint=mirror.url, hf_token="hf_secret"))
    assert (await steps(friend))[-1].status == "writing manifest"
    await friend.close()


async def test_a_hub_that_is_away_is_named(mirror: HubMirror, tmp_path: Path) -> None:
    assert mirror.url  # while it serves, the library may ask
    away = Puller(Settings(data_dir=tmp_path, hf_endpoint=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(UpstreamRefused, match="cannot be reached"):
        await steps(away)
    await away.close()


async def test_a_disk_without_room_is_told_before(puller: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ROOM_BYTES", 1 << 60)
    with pytest.raises(Unavailable, match="MB are free"):
        await steps(puller)


async def test_of_several_gguf_files_the_named_or_the_fittest_is_taken(puller: Puller, mirror: HubMirror, tmp_path: Path) -> None:
    mirror.repositories["tiny/gguf"] = {f"m-{kind}.gguf": kind.encode() for kind in ("F16", "Q4_0", "Q8_0")}
    await steps(puller, "tiny/gguf")
    await steps(puller, "tiny/gguf:q8_0")
    there = sorted(str(path.relative_to(tmp_path / "models/tiny/gguf")) for path in (tmp_path / "models/tiny/gguf").glob("*/*.gguf"))
    assert there == [f"{COMMIT[:12]}-q8_0/m-Q8_0.gguf", f"{COMMIT[:12]}/m-Q4_0.gguf"]
    with pytest.raises(BadRequest, match=r"m-F16\.gguf"):
        await steps(puller, "tiny/gguf:Q2")


def test_names_that_would_leave_the_folder_are_not_taken() -> None:
    def file(name: str) -> download.RemoteFile:
        return download.RemoteFile(name=name, url="", size=1)

    names = ["config.json", "m.safetensors", "../evil.json", ".hidden.json", "a/b.safetensors", "/etc/x.json", MARKER]
    assert [found.name for found in choose_files([file(name) for name in names], "", "n")] == ["config.json", "m.safetensors"]


async def test_an_older_revision_goes_when_a_newer_one_is_there(puller: Puller, tmp_path: Path) -> None:
    older = tmp_path / "models/tiny/llama/older"
    older.mkdir(parents=True)
    (older / MARKER).write_bytes(msgspec.json.encode(Pulled(id=LLAMA, revision="older", files=())))
    await steps(puller)
    assert not older.exists()
