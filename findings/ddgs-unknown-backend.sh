#!/usr/bin/env bash
# ddgs 9.16.1: a backend's name that it does not know means "ask all of them".
#
# The guess: backend="duckduckg" (a slip, or an engine that a newer version has dropped) raises an error, or finds nothing.
# What happens: where no name of the list is known, the search is sent to every engine that the library knows. Nothing is raised.
# Seen, by a proxy that writes down whom it is asked to connect to and refuses: seven hosts, of which the caller named none.
# What it costs: who names one engine for the sake of privacy or of its terms has every query sent to all others from the first slip on, or
# from the update on that drops the engine; the results look as always. We check the name before ddgs sees it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check ddgs==9.16.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import contextlib
import socketserver
import threading

from ddgs import DDGS
from ddgs.exceptions import DDGSException

asked = set()


class Refusing(socketserver.StreamRequestHandler):
    def handle(self):
        words = self.rfile.readline().decode().split()
        if len(words) > 1:
            asked.add(words[1].removeprefix("http://").split("/")[0].split(":")[0])
        self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def hosts(backend):
    asked.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with contextlib.suppress(DDGSException):
            DDGS(proxy=f"http://127.0.0.1:{server.server_address[1]}", timeout=5).text("water mills", backend=backend, max_results=5)
        server.shutdown()
    return sorted(asked)


known, unknown = hosts("duckduckgo"), hosts("duckduckg")
print("duckduckgo:", ", ".join(known))
print("duckduckg: ", ", ".join(unknown))
assert known == ["html.duckduckgo.com"], known
assert len(unknown) > 3, "this has changed: an unknown backend is no longer all of them"
PY
