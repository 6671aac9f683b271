#!/usr/bin/env bash
# Writes src/zoo_page/resources/ort.min.js and ort.wasm.gz: onnxruntime-web as one script that sets `ort`, and its
# WebAssembly. It needs npm. The versions are pinned, so that the same files come out.
set -euo pipefail
ORT=1.30.0
ESBUILD=0.28.2
home=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes > /dev/null
npm install --silent --no-fund --no-audit --ignore-scripts "onnxruntime-web@$ORT" "esbuild@$ESBUILD"
dist=node_modules/onnxruntime-web/dist
# A page that is opened from a folder has no address that a module could be loaded from: a plain script needs none.
node_modules/.bin/esbuild "$dist/ort.wasm.bundle.min.mjs" --bundle --minify --format=iife --global-name=ort --target=es2022 \
  --define:import.meta.url=document.baseURI --charset=ascii --legal-comments=inline --log-level=error \
  --external:module --external:worker_threads --external:fs --external:path --external:url --external:os --external:perf_hooks \
  --outfile="$home/src/zoo_page/resources/ort.min.js"
gzip -9 -n -c "$dist/ort-wasm-simd-threaded.wasm" > "$home/src/zoo_page/resources/ort.wasm.gz"
