// Points the page at a fake camera, and at none, and prints what it shows, as JSON: node camera.mjs URL CAMERA_FILE

import { answer, launch, openPage, ready } from "./page.mjs";

const [url, cameraFile] = process.argv.slice(2);
const found = {};
let browser = await launch(cameraFile);

/** Open the page, change what the browser offers to it, and press the button. */
async function pressed(change) {
  const { page, seen } = await openPage(browser);
  await page.addInitScript(change);
  await page.goto(url);
  await ready(page);
  await page.click("#camera");
  return { page, seen };
}

const { page, seen } = await pressed(() => {
  MediaStreamTrack.prototype.getCapabilities = () => ({ torch: true }); // a fake camera has no light
  MediaStreamTrack.prototype.applyConstraints = async (wanted) => (window.wanted = wanted);
});
const running = (page) => page.waitForFunction(() => document.getElementById("rate").textContent);
await running(page);
found.live = await page.evaluate(async () => {
  const shown = (id) => document.getElementById(id).getClientRects().length > 0;
  const box = (id) => Object.values(document.getElementById(id).getBoundingClientRect().toJSON()).map(Math.round);
  let answers = 0;
  new MutationObserver(() => answers++).observe(document.getElementById("map"), { attributeFilter: ["width"] });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  return {
    rate: answers / 3,
    shown: ["video", "map", "label", "bars", "still", "stop", "torch"].filter(shown),
    covers: JSON.stringify(box("video")) === JSON.stringify(box("map")),
    label: document.getElementById("label").textContent,
  };
});
await page.click("#torch");
found.torch = await page.evaluate(() => [document.getElementById("torch").ariaPressed, window.wanted]);
await page.click("#video");
found.still = await answer(page);
found.cameraAfterStill = await page.evaluate(() => document.getElementById("video").srcObject);
await page.click("#camera");
await running(page);
await page.click("#stop");
await ready(page);
found.stopped = await page.evaluate(() => document.getElementById("video").srcObject);
found.errors = [...seen.errors, ...seen.console];

found.without = {};
const REFUSALS = {
  NotAllowedError: () => (navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotAllowedError"); }),
  NotFoundError: () => (navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotFoundError"); }),
  NotReadableError: () => (navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotReadableError"); }),
  http: () => Object.defineProperty(navigator, "mediaDevices", { value: undefined }),
};
for (const [name, change] of Object.entries(REFUSALS)) {
  const { page } = await pressed(change);
  found.without[name] = await answer(page);
}

await browser.close();
browser = await launch();
const { page: two } = await pressed(() => {});
const camera = () => two.evaluate(() => document.getElementById("video").srcObject.getVideoTracks()[0].label);
await running(two);
found.cameras = await two.evaluate(() => [...document.getElementById("cameras").options].map((option) => option.text));
found.first = await camera();
await two.selectOption("#cameras", { index: 1 });
await two.waitForSelector(".status:not(.live)");
await running(two);
found.second = await camera();

console.log(JSON.stringify(found));
await browser.close();
