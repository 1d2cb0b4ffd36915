"""Pictures, and the pages' scripts and styles: known when the process starts, and nothing else comes out of their folder."""

from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parents[1] / "static"
AGE_S = 3_600

_FILES = {str(path.relative_to(FOLDER)): path for path in FOLDER.rglob("*") if path.suffix in {".css", ".js", ".graphql", ".png", ".txt"}}


async def serve_asset(request: web.Request) -> web.StreamResponse:
    """``GET /static/{name}``: browsers keep it for a while, and ask then by its tag whether it has changed."""
    return file_response(request.match_info["name"])


def file_response(name: str) -> web.FileResponse:
    """A file to be kept for a while. Raises aiohttp's HTTPNotFound."""
    path = _FILES.get(name)
    if path is None:
        raise web.HTTPNotFound
    return web.FileResponse(path, headers={"Cache-Control": f"public, max-age={AGE_S}"})


def read_page(name: str) -> str:
    """A page's text, to be read once, while the process starts."""
    return (FOLDER / name / "index.html").read_text(encoding="utf-8")
