#!/usr/bin/env bash
# ddgs 9.16.1: the addresses of results are percent-decoded, so some of them lead to another page than the engine named.
#
# The guess: "href" is the address that the search engine gave.
# What happens: every address is unquoted as a whole, and spaces become "+". What was written %26, %2F, %23, %25 or %2B comes out as
# a character that parts an address.
# Seen: /find?q=salt%26vinegar is given as /find?q=salt&vinegar, /wiki/C%23 as /wiki/C#, /wiki/AC%2FDC as /wiki/AC/DC.
# What it costs: whoever fetches or shows the result opens another page (the article on C instead of C#), or none; nothing tells that the
# address is not the engine's, and it cannot be mended afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check ddgs==9.16.1 trustme==1.2.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import socketserver
import ssl
import threading

import trustme
from ddgs import DDGS

NAMED = ["https://shop.example/find?q=salt%26vinegar", "https://example.org/wiki/C%23", "https://example.org/wiki/AC%2FDC"]
PAGE = "".join(f'<div class="result__body body"><h2>Title</h2><a href="{address}">Words</a></div>' for address in NAMED).encode()
authority = trustme.CA()
authority.cert_pem.write_to_path("authority.pem")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("html.duckduckgo.com").configure_cert(context)


class Engine(socketserver.BaseRequestHandler):
    """A proxy that is the engine itself, whomever it is asked for."""

    def handle(self):
        self.request.recv(65_536)
        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(self.request, server_side=True) as stream:
            stream.recv(65_536)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\nConnection: close\r\n\r\n"
            stream.sendall(head.encode() + PAGE)


with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Engine) as server:
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    search = DDGS(proxy=f"http://127.0.0.1:{server.server_address[1]}", timeout=20, verify="authority.pem")
    given = [row["href"] for row in search.text("anything", backend="duckduckgo", max_results=3)]
    server.shutdown()
for address in NAMED:
    print("named:", address)
for address in given:
    print("given:", address)
decoded = {"https://shop.example/find?q=salt&vinegar", "https://example.org/wiki/C#", "https://example.org/wiki/AC/DC"}
assert set(given) == decoded, "this has changed: addresses are given as they were named"
PY
