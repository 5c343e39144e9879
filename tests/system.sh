#!/usr/bin/env bash
# What the tests need of the system, installed where it is missing: a browser, npm, a C compiler.
# system.sh venv | tests
set -euo pipefail

install() {
    local as=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "As root, run: apt-get install $*"; exit 1; }
        as=(sudo)
    fi
    "${as[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as[@]}" apt-get install -y -qq "$@" >/dev/null
}

case "${1:-tests}" in
venv)
    install "$(basename "$(readlink -f "$(command -v python3)")")-venv" || install python3-venv
    ;;
tests)
    missing=()
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing+=(chromium)
    command -v npm >/dev/null || missing+=(nodejs npm)
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    [ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
    if [ ${#missing[@]} -gt 0 ]; then install "${missing[@]}"; fi
    ;;
*)
    echo "usage: system.sh venv|tests"; exit 2
    ;;
esac
