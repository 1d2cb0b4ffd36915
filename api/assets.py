"""Scripts and styles of the pages: known when the process starts, and nothing else comes out of their folder."""

from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
AGE_S = 3_600

_FILES = {str(path.relative_to(FOLDER)): path for path in FOLDER.rglob("*") if path.suffix in {".css", ".js", ".graphql", ".txt"}}


async def asset(request: web.Request) -> web.StreamResponse:
    """``GET /static/{name}``: browsers keep it for a while, and ask then by its tag whether it has changed."""
    path = _FILES.get(request.match_info["name"])
    if path is None:
        raise web.HTTPNotFound
    return web.FileResponse(path, headers={"Cache-Control": f"public, max-age={AGE_S}"})


def page(name: str) -> str:
    """A page's text, to be read once, while the process starts."""
    return (FOLDER / name / "index.html").read_text(encoding="utf-8")
