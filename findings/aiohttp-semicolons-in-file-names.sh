#!/usr/bin/env bash
# aiohttp 3.14.5: a form's file whose name has two semicolons arrives without its field's name and without its own.
#
# The guess: in Content-Disposition a quoted name may hold anything (RFC 2183, RFC 7578), so the field "file" arrives whatever the file is
# called; a name with one semicolon does arrive.
# What happens: the header is cut at every semicolon, quoted or not, and one cut is mended, two are not. Then the whole header counts as
# bad: a BadContentDispositionHeader warning, and the part has neither name nor file name.
# Seen: "a;b.txt" arrives as field "file", file "a;b.txt"; "a;b;c.txt" as field None, file None.
# What it costs: an upload of "Minutes; draft; final.docx" is refused as a form without a file, or its bytes are taken for another field.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check aiohttp==3.14.5
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import asyncio

import aiohttp
from aiohttp import web

BODY = '--x\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\n\r\nbytes\r\n--x--\r\n'


async def receive(request: web.Request) -> web.Response:
    part = await (await request.multipart()).next()
    return web.json_response([part.name, part.filename])


async def main() -> None:
    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://127.0.0.1:{}/".format(runner.addresses[0][1])
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with aiohttp.ClientSession() as session:
        arrived = {}
        for name in ("a;b.txt", "a;b;c.txt"):
            async with session.post(url, data=BODY.format(name), headers=headers) as response:
                arrived[name] = await response.json()
                print(f"{name}: field {arrived[name][0]}, file {arrived[name][1]}")
    await runner.cleanup()
    assert arrived == {"a;b.txt": ["file", "a;b.txt"], "a;b;c.txt": [None, None]}, "this has changed: look at what arrives now"


asyncio.run(main())
PY
