#!/usr/bin/env bash
# Builds the servers that the tests use and that no package brings, once, into a cache outside the checkout:
#   MongoDB's wire protocol in memory (tests/mongodb), FerretDB (the same protocol on SQLite), Weaviate, and docker compose, whose `config`
#   checks a compose file without any engine.
# On two cores the first time takes about eight minutes; afterwards nothing. Needs Go and its module proxy, a JDK and Maven.
set -euo pipefail
cd "$(dirname "$0")"
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

# The jars of one release, each known by its sum, and our program that starts them
build_mongodb() {
  local version new=$cache/mongodb.new
  version=$(sha256sum mongodb/* | sha256sum)
  if [ "$(cat "$cache/mongodb.version" 2>/dev/null)" = "$version" ]; then return; fi
  if ! javac --release 17 -version >/dev/null 2>&1 || ! command -v mvn >/dev/null; then
    echo "MongoDB in memory is built with a JDK, 17 or newer, and Maven, which are not both installed: its tests are skipped (in CI they fail)." >&2
    return
  fi
  echo "Building MongoDB in memory …" >&2
  rm -rf "$new"
  mvn --batch-mode --quiet --file mongodb/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$new" >&2
  diff <(cd "$new" && sha256sum -- *.jar | LC_ALL=C sort -k 2) mongodb/jars.sha256 >&2 || { echo "Maven has fetched something else than tests/mongodb/jars.sha256 names." >&2; exit 1; }
  javac --release 17 -d "$new" -cp "$new/*" mongodb/MongoServerInMemory.java
  rm -rf "$cache/mongodb"
  mv "$new" "$cache/mongodb"
  echo "$version" > "$cache/mongodb.version"
}

mkdir -p "$cache"
exec 9> "$cache/lock" && flock 9 # one build at a time, whoever asks
build_mongodb
build ferretdb github.com/FerretDB/FerretDB v1.24.2 ./cmd/ferretdb
build weaviate github.com/weaviate/weaviate v1.35.2 ./cmd/weaviate-server
build docker-compose github.com/docker/compose/v2 v2.40.3 ./cmd
