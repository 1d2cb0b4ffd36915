#!/usr/bin/env bash
# Weaviate 1.35.2, keyword search (bm25), settings as they come: a smaller limit does not give the head of what a larger one gives.
#
# The guess: "limit" cuts a ranking off. The one hit of limit 1 is the first hit of limit 1,000; five hits are the five best.
# What happens: passages that stand high in the whole ranking are missing where the limit is small, even the best of all, and worse ones have
# their places; the scores of those that come are right. While objects are only in memory (by default for a minute after they were written),
# the first hits by number that fill the limit, and some ten more, keep their places: in the code, a block that was not yet written has a
# bound of nothing on what it may hold. Once they are on disk, most is right, and some of those that stand high are still missing.
# "usingBlockMaxWAND": false in the class is taken without an error, and is true afterwards.
# Seen, with 300 of 600 passages that have the word: in memory, limit 1: 0.598, limit 2: 0.598 0.562, limit 1,000: 0.624 0.624 0.621; after
# a restart, limit 1: 0.624, limit 2: 0.624 0.609, limit 5: 0.624 0.609 0.609, limit 1,000: 0.624 0.624 0.621.
# What it costs: who asks right after having written gets nearly any passages that have a word: with 500 questions over 3,000 entries of
# WordNet and a limit of 200, nDCG@10 was 0.08 at once, and 0.20 by the same formula over all. The best hit cannot be had by limit 1.
# Builds Weaviate from its Go module, which takes minutes the first time. Needs Go and Python.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
module=$(go mod download -json github.com/weaviate/weaviate@v1.35.2 | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
cp -r "$module/." "$folder/source"
chmod -R u+w "$folder/source"
(cd "$folder/source" && go build -mod=mod -trimpath -o "$folder/weaviate" ./cmd/weaviate-server)
cd "$folder"
python3 - <<'PY'
import json
import os
import random
import socket
import subprocess
import time
import urllib.request
import uuid

PASSAGES, LIMITS = 300, (1, 2, 5, 1000)
draw = random.Random(1)


def free_port():
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as one, socket.socket() as next_one:
            try:
                one.bind(("127.0.0.1", port))
                next_one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


port = free_port()
gossip = free_port()
environment = os.environ | {
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true", "PERSISTENCE_DATA_PATH": "data", "DISABLE_TELEMETRY": "true",
    "CLUSTER_HOSTNAME": "one", "CLUSTER_ADVERTISE_ADDR": "127.0.0.1", "CLUSTER_BIND_ADDR": "127.0.0.1", "GO_PROFILING_DISABLE": "true",
    "CLUSTER_GOSSIP_BIND_PORT": str(gossip), "CLUSTER_DATA_BIND_PORT": str(gossip + 1), "RAFT_PORT": str(free_port()),
    "RAFT_INTERNAL_RPC_PORT": str(free_port()), "RAFT_BOOTSTRAP_EXPECT": "1", "GRPC_PORT": str(free_port()),
}  # fmt: skip


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or "null")


def started():
    command = ("./weaviate", "--host", "127.0.0.1", "--port", str(port), "--scheme", "http")
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=open("log", "a"))
    for _ in range(1_500):
        try:
            ask("/.well-known/ready")
            return server
        except OSError:
            assert server.poll() is None, open("log").read()[-2000:]
            time.sleep(0.2)
    raise SystemExit("Weaviate did not start")


def scores(limit):
    query = '{Get{Passage(bm25:{query:"water"},limit:%d){_additional{score}}}}' % limit
    found = ask("/graphql", {"query": query})["data"]["Get"]["Passage"]
    return [round(float(one["_additional"]["score"]), 3) for one in found]


def shown(when):
    found = {limit: scores(limit) for limit in LIMITS}
    for limit, some in found.items():
        print(f"{when}, limit {limit}: {' '.join(f'{score:.3f}' for score in some[:3])} ({len(some)})")
    return found


server = started()
try:
    text = {"name": "text", "dataType": ["text"]}
    ask("/schema", {"class": "Passage", "vectorizer": "none", "invertedIndexConfig": {"usingBlockMaxWAND": False}, "properties": [text]})
    assert ask("/schema/Passage")["invertedIndexConfig"]["usingBlockMaxWAND"] is True
    texts = [" ".join(["water"] * draw.randint(1, 4) + ["stone"] * draw.randint(1, 60)) for _ in range(PASSAGES)]
    texts += ["dry " + "stone " * draw.randint(1, 60) for _ in range(PASSAGES)]
    objects = [{"class": "Passage", "id": str(uuid.UUID(int=number + 1)), "properties": {"text": text}} for number, text in enumerate(texts)]
    draw.shuffle(objects)
    for start in range(0, len(objects), 100):
        ask("/batch/objects", {"objects": objects[start : start + 100]})
    fresh = shown("in memory")
    server.terminate()
    server.wait()
    server = started()
    again = shown("started again")
finally:
    server.kill()
for found in (fresh, again):
    assert len(found[1000]) == PASSAGES and found[1000] == sorted(found[1000], reverse=True)
assert fresh[1] != fresh[1000][:1], "in memory, limit 1 gives the best now"
assert again[2] != again[1000][:2] or again[5] != again[1000][:5], "on disk, small limits give the best now"
print("as described: small limits leave out what stands high in the whole ranking")
PY
