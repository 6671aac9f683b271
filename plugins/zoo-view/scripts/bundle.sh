#!/usr/bin/env bash
# Writes src/zoo_view/resources/three.min.js: the parts of three.js that view.js uses, as one script that sets THREE.
# It needs npm. The versions are pinned, so that the same file comes out.
set -euo pipefail
THREE=0.187.0
ESBUILD=0.28.2
home=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes > /dev/null
npm install --silent --no-fund --no-audit --ignore-scripts "three@$THREE" "esbuild@$ESBUILD"
names=$(grep -o 'THREE\.[A-Z][A-Za-z0-9]*' "$home/src/zoo_view/resources/view.js" | sort -u | sed 's/THREE\.//' | paste -sd,)
echo "export { $names } from 'three';" > entry.js
node_modules/.bin/esbuild entry.js --bundle --minify --format=iife --global-name=THREE --target=es2022 \
  --charset=ascii --legal-comments=inline --log-level=warning --outfile="$home/src/zoo_view/resources/three.min.js"
cp node_modules/three/LICENSE "$home/src/zoo_view/resources/three.LICENSE"
