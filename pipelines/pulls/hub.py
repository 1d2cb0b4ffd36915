"""Models of Hugging Face, or of a mirror of it, brought into the data folder.

Only weights that cannot hold programs (safetensors, GGUF) and what belongs to them are fetched: no pickles, no code.
huggingface_hub says what a repository holds; it keeps no half of a file for another process to go on from, so the bytes
are fetched by pipelines.pulls.download.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import aiohttp
import msgspec

from core.errors import BadRequest, Forbidden, ModelNotFound, PenstockError, Unavailable, UpstreamError, UpstreamRefused
from core.models.events import Progress
from core.models.pulls import MARKER, MODELS_FOLDER, Pulled
from core.security import redact_url
from core.settings import Settings
from pipelines.pulls.download import RemoteFile, download

ASK_S = 15.0
ROOM_BYTES = 200_000_000  # left free on the disk
REVISION_CHARACTERS = 12
WEIGHTS = ".safetensors"
GGUF = ".gguf"
BESIDE = (".json", ".jinja", "tokenizer.model", "merges.txt", "vocab.txt")
PREFERRED = ("q4_1", "q4_0", "q4_k_m", "q8_0")
MB = 1_000_000


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository holds at its newest commit."""

    revision: str
    files: tuple[RemoteFile, ...]


class Hub:
    """One hub. Pulled models are folders ``<data folder>/models/<owner>/<name>/<revision>``."""

    def __init__(self, settings: Settings, client: aiohttp.ClientSession) -> None:
        self._endpoint = settings.hf_endpoint.rstrip("/")
        self._place = redact_url(self._endpoint)
        self._token = settings.hf_token
        self._root = settings.data_dir / MODELS_FOLDER
        self._client = client

    async def pull(self, name: str) -> AsyncGenerator[Progress, None]:
        """Bring a repository, or one GGUF file of it, whose name holds what follows a colon. Gives its progress.

        Raises ModelNotFound, Forbidden, BadRequest before anything is given; Unavailable where there is no room.
        """
        repository_id, _, part = name.partition(":")
        repository = await asyncio.to_thread(self._look, repository_id)
        files = choose_files(repository.files, part, name)
        yield Progress(status="pulling manifest")
        revision = "-".join(filter(None, (repository.revision[:REVISION_CHARACTERS], re.sub(r"\W", "_", part))))
        folder = self._root.joinpath(*repository_id.split("/"), revision)
        await asyncio.to_thread(_prepare, folder, files)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        for file in files:
            digest = f"sha256:{file.sha256}" if file.sha256 else file.name
            async with aclosing(download(self._client, file, folder / file.name, headers)) as pieces:
                async for completed in pieces:
                    yield Progress(status=f"pulling {file.name}", digest=digest, total=file.size, completed=completed)
        yield Progress(status="writing manifest")
        pulled = Pulled(id=name, revision=repository.revision, files=tuple(file.name for file in files))
        await asyncio.to_thread(_complete, folder, pulled)

    def _look(self, repository_id: str) -> Repository:
        """Off the event loop, because the library waits; imported here only, because it takes long and few processes pull."""
        from huggingface_hub import HfApi, hf_hub_url  # noqa: PLC0415
        from huggingface_hub.errors import (  # noqa: PLC0415
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
        )

        api = HfApi(endpoint=self._endpoint, token=self._token or False, library_name="penstock")
        try:
            info = api.model_info(repository_id, files_metadata=True, timeout=ASK_S)
        except GatedRepoError:
            message = f"{repository_id} is gated. Accept its terms at {self._place}, and set PENSTOCK_HF_TOKEN to a token of that account."
            raise Forbidden(message) from None
        except (RepositoryNotFoundError, HFValidationError):
            message = f"There is no model {repository_id!r} at {self._place}, or PENSTOCK_HF_TOKEN may not see it."
            raise ModelNotFound(message, param="name") from None
        except HfHubHTTPError as error:
            raise _refusal(self._place, repository_id, error.response.status_code) from None
        except OfflineModeIsEnabled:
            message = "HF_HUB_OFFLINE is set in the worker's environment: nothing is pulled from Hugging Face."
            raise Unavailable(message) from None
        except Exception as error:  # its HTTP library's errors; whatever they are, the hub could not be asked
            message = f"{self._place} cannot be reached ({type(error).__name__})."
            raise UpstreamRefused(message) from error
        revision = str(info.sha)
        found = [
            RemoteFile(
                name=sibling.rfilename,
                url=hf_hub_url(repository_id, sibling.rfilename, revision=revision, endpoint=self._endpoint),
                size=sibling.size or 0,
                sha256=sibling.lfs.sha256 if sibling.lfs else None,
            )
            for sibling in info.siblings or ()
        ]
        return Repository(revision=revision, files=tuple(found))


def _refusal(place: str, repository_id: str, status: int) -> PenstockError:
    if status == 404:  # noqa: PLR2004 - not found
        return ModelNotFound(f"There is no model {repository_id!r} at {place}.", param="name")
    if status in {401, 403}:
        return Forbidden(f"{place} may not be asked for {repository_id!r} (HTTP {status}). Check PENSTOCK_HF_TOKEN.")
    return UpstreamError(f"{place} answered with HTTP {status}.")


def choose_files(files: Sequence[RemoteFile], part: str, name: str) -> list[RemoteFile]:
    """What to fetch, of the repository's top folder: safetensors with their configuration, else one GGUF. Raises BadRequest."""
    top = [file for file in files if re.fullmatch(r"[\w][\w.+ -]*", file.name) and file.name != MARKER]
    weights = [file for file in top if file.name.endswith(WEIGHTS)]
    ggufs = [file for file in top if file.name.lower().endswith(GGUF)]
    if not part and weights and any(file.name == "config.json" for file in top):
        return [*(file for file in top if file.name.endswith(BESIDE)), *weights]
    if part:
        ggufs = [file for file in ggufs if part.lower() in file.name.lower()] or _refuse_part(part, ggufs)
    if not ggufs:
        message = f"{name} holds neither safetensors with a config.json nor GGUF files. Nothing else is pulled: pickles may hold programs."
        raise BadRequest(message, param="name")
    return [min(ggufs, key=_preference)]


def _refuse_part(part: str, ggufs: Sequence[RemoteFile]) -> list[RemoteFile]:
    there = ", ".join(file.name for file in ggufs[:10]) or "no GGUF file at all"
    message = f"No GGUF file of the repository has {part!r} in its name; there is {there}."
    raise BadRequest(message, param="name")


def _preference(file: RemoteFile) -> tuple[int, str]:
    return next((place for place, kind in enumerate(PREFERRED) if kind in file.name.lower()), len(PREFERRED)), file.name


def _prepare(folder: Path, files: Sequence[RemoteFile]) -> None:
    """Make the folder, and see that there is room. Raises Unavailable."""
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    missing, free = sum(file.size for file in files) - there, shutil.disk_usage(folder).free
    if missing + ROOM_BYTES > free:
        message = f"The model needs {missing // MB} MB more, and {free // MB} MB are free in the data folder. Make room there."
        raise Unavailable(message)


def _complete(folder: Path, pulled: Pulled) -> None:
    """Say that all is there, and take away what an older revision left."""
    draft = folder / f"{MARKER}.draft"
    draft.write_bytes(msgspec.json.encode(pulled))
    draft.replace(folder / MARKER)
    for other in folder.parent.iterdir():
        if other != folder and (other / MARKER).is_file():
            with (other / MARKER).open("rb") as file:
                if msgspec.json.decode(file.read(), type=Pulled).id == pulled.id:
                    shutil.rmtree(other, ignore_errors=True)
