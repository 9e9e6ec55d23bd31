#!/usr/bin/env bash
# Makes docs/figures/web-page.png again, the deploy kit's page in a real browser, and tells how many frames of a camera
# it classifies a second on one core. Run `make page-figure`.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-}
out=build/page
photo=samples/photos/t-shirt-2.jpg
export NODE_MODULES=$PWD/build/npm/node_modules
CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
export CHROMIUM
rm -rf $out && mkdir -p $out/shots
"${bin}fmnist-edge" deploy $out/kit --web-runtime "$NODE_MODULES/onnxruntime-web"
"${bin}python" - "$photo" $out/camera.y4m <<'END'
import sys
import PIL.Image, PIL.ImageOps
with PIL.Image.open(sys.argv[1]) as photo:  # as a camera gives it: Y4M, 640x480, 30 frames a second
    light, blue, red = PIL.ImageOps.fit(photo.convert("RGB"), (640, 480)).convert("YCbCr").split()
frame = b"FRAME\n" + b"".join(plane.tobytes() for plane in (light, blue.reduce(2), red.reduce(2)))
with open(sys.argv[2], "wb") as file:
    file.write(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n" + 3 * frame)
END
"${bin}python" -m http.server 8787 --bind 127.0.0.1 --directory $out/kit/web > $out/server.log 2>&1 &
server=$!
trap 'kill $server' EXIT
sleep 1
drivers=tests/runtime/kit/browser
node $drivers/look.mjs http://localhost:8787/ "$photo" $out/camera.y4m $out/shots > $out/look.json
taskset -c 0 node $drivers/camera.mjs http://localhost:8787/ $out/camera.y4m > $out/camera.json
"${bin}python" - $out <<'END'
import json, pathlib, sys
import PIL.Image
out = pathlib.Path(sys.argv[1])
with PIL.Image.open(out / "shots/desktop-light-picture.png") as page, PIL.Image.open(out / "shots/phone-light-live.png") as phone:
    page = page.convert("RGB").crop((100, 0, 1180, 740))
    phone = phone.convert("RGB").resize((360, 740), PIL.Image.Resampling.LANCZOS)
figure = PIL.Image.new("RGB", (page.width + 24 + phone.width, 740), "white")
figure.paste(page, (0, 0))
figure.paste(phone, (page.width + 24, 0))
figure.quantize(256).save("docs/figures/web-page.png", optimize=True)  # fewer colours, a third of the bytes
rate = json.loads((out / "camera.json").read_text())["live"]["rate"]
print(f"live camera, Chromium on one core: {rate:.0f} frames a second")
END
