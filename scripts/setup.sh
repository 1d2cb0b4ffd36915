#!/usr/bin/env bash
# Makes a fresh machine ready: `setup.sh run` for starting the product, `setup.sh test` for its tests too. What is there already costs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=${1:-run}

# command:package; the product's own Redis comes with its Python packages, the tests use the system's
programs=(bwrap:bubblewrap)
if [ "$wanted" = test ]; then programs+=(redis-server:redis-server chromium:chromium node:nodejs npm:npm javac:default-jdk-headless mvn:maven); fi

say() { echo "setup: $*" >&2; }

packages() {
  local missing=() program
  for program in "${programs[@]}"; do
    command -v "${program%%:*}" > /dev/null || missing+=("${program##*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    say "installing ${missing[*]}"
    if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null; then return 0; fi
  fi
  say "please install: ${missing[*]} (on Debian or Ubuntu: sudo apt-get install ${missing[*]})"
}

python() {
  local candidate
  for candidate in python3.11 python3 python3.12 python3.13; do # the lock was made for the first
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then echo "$candidate"; return; fi
  done
  say "Python 3.11 or newer is needed"
  exit 1
}

environment() {
  local stamp=.venv/ready sum uv
  sum=$(cat requirements.lock pyproject.toml | sha256sum)
  if [ "$(cat "$stamp" 2> /dev/null)" = "$sum" ]; then return; fi
  if [ ! -x .venv/bin/python ]; then
    say "making .venv"
    if command -v uv > /dev/null; then uv venv --quiet --no-python-downloads --python "$(python)" .venv; else "$(python)" -m venv .venv; fi
  fi
  uv=$(command -v uv || true)
  if [ -z "$uv" ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
    uv=.venv/bin/uv
  fi
  say "installing the locked packages into .venv (the first time some gigabytes: PyTorch brings CUDA along)"
  "$uv" pip install --quiet --python .venv/bin/python --no-deps --require-hashes -r requirements.lock
  "$uv" pip install --quiet --python .venv/bin/python --no-deps --editable .
  echo "$sum" > "$stamp"
}

clients() {
  local stamp=tests/clients/node_modules/ready sum
  command -v npm > /dev/null || return 0
  sum=$(sha256sum < tests/clients/package-lock.json)
  if [ "$(cat "$stamp" 2> /dev/null)" = "$sum" ]; then return; fi
  say "installing the JavaScript test clients"
  (cd tests/clients && npm ci --silent --no-audit --no-fund)
  echo "$sum" > "$stamp"
}

packages
environment
if [ "$wanted" = test ]; then
  clients
  tests/servers.sh
fi
