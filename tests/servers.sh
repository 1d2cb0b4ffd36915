#!/usr/bin/env bash
# Builds the servers that the tests use and that no package brings, once, into a cache outside the checkout:
#   FerretDB (MongoDB's wire protocol on SQLite), Weaviate, and docker compose, whose `config` checks a compose file without any engine.
# On two cores the first time takes about eight minutes; afterwards nothing. Needs Go and its module proxy.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/penstock/servers

# name, module, version, package of the program, what the build needs to know
build() {
  local name=$1 module=$2 version=$3 package=$4 source
  if [ -x "$cache/$name" ] && [ "$(cat "$cache/$name.version" 2>/dev/null || echo "$version")" = "$version" ]; then return; fi
  command -v go >/dev/null || { echo "$name is built with Go, which is not installed: its tests are skipped (in CI they fail)." >&2; return; }
  echo "Building $name $version …" >&2
  source=$(mktemp -d "$cache/source.XXXXXX")
  cp -r "$(go mod download -json "$module@$version" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')/." "$source"
  chmod -R u+w "$source"
  if [ "$name" = ferretdb ]; then echo "$version" > "$source/build/version/version.txt"; fi # the module lacks it, and the program will not start without
  (cd "$source" && CGO_ENABLED=$([ "$name" = ferretdb ] && echo 0 || echo 1) go build -mod=mod -o "$cache/$name.new" "$package")
  mv "$cache/$name.new" "$cache/$name"
  echo "$version" > "$cache/$name.version"
  rm -rf "$source"
}

mkdir -p "$cache"
exec 9> "$cache/lock" && flock 9 # one build at a time, whoever asks
build ferretdb github.com/FerretDB/FerretDB v1.24.2 ./cmd/ferretdb
build weaviate github.com/weaviate/weaviate v1.35.2 ./cmd/weaviate-server
build docker-compose github.com/docker/compose/v2 v2.40.3 ./cmd
