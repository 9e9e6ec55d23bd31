#!/usr/bin/env bash
# Makes docs/figures/web-page.png again: the deploy kit's page in a real browser. Run `make page-figure`.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-}
out=build/page
modules=$PWD/build/npm/node_modules
rm -rf $out && mkdir -p $out/shots
"${bin}fmnist-edge" deploy $out/kit --web-runtime "$modules/onnxruntime-web"
"${bin}python" -m http.server 8787 --bind 127.0.0.1 --directory $out/kit/web > $out/server.log 2>&1 &
server=$!
trap 'kill $server' EXIT
sleep 1
CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome) NODE_MODULES=$modules \
  node tests/runtime/kit/browser/look.mjs http://localhost:8787/ samples/scenes/7-sneaker.jpg $out/shots > $out/look.json
"${bin}python" - $out/shots/desktop-light.png docs/figures/web-page.png <<'END'
import sys
import PIL.Image
with PIL.Image.open(sys.argv[1]) as shot:  # without the empty foot of the window; fewer colours, a third of the bytes
    shot.convert("RGB").crop((0, 0, shot.width, 740)).quantize(256).save(sys.argv[2], optimize=True)
END
