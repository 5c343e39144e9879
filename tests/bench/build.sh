#!/usr/bin/env bash
# Builds the sink and the C client into tests/bench/build; installs what it needs where it is missing.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
[ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
[ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
if [ ${#missing[@]} -gt 0 ]; then
    as=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "As root, run: apt-get install ${missing[*]}"; exit 1; }
        as=(sudo)
    fi
    "${as[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null
fi

mkdir -p build
for program in sink client wanemu; do
    if [ build/$program -ot $program.c ]; then
        cc -O2 -Wall -Wextra -o build/$program.new $program.c -lssl -lcrypto -lz -lpthread
        mv build/$program.new build/$program
    fi
done
