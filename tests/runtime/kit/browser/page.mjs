// A headless Chromium and what the drivers do with the page again and again.

import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.NODE_MODULES}/`)("playwright-core");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const touch = { hasTouch: true, isMobile: true };

export const SIZES = {
  narrow: { viewport: { width: 320, height: 640 }, ...touch, deviceScaleFactor: 2 },
  window: { viewport: { width: 320, height: 640 } },
  phone: { viewport: { width: 360, height: 740 }, ...touch, deviceScaleFactor: 2 },
  desktop: { viewport: { width: 1280, height: 800 } },
};

/** Start Chromium, with two fake cameras, or with one that shows a Y4M file. */
export const launch = (cameraFile) => {
  const fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=device-count=2,fps=30"];
  if (cameraFile) fake.push(`--use-file-for-fake-video-capture=${cameraFile}`);
  return chromium.launch({ executablePath: process.env.CHROMIUM, args: [...FLAGS, ...fake] });
};

/** Open a page and note what it logs, what fails, and every address that it asks for. */
export async function openPage(browser, options = SIZES.desktop) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const seen = { console: [], errors: [], requests: [] };
  page.on("console", (message) => seen.console.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.errors.push(error.message));
  context.on("request", (request) => seen.requests.push(request.url()));
  return { context, page, seen };
}

export const ready = (page) => page.waitForSelector(".status.idle");

/** Give a file to the page as a mouse ("drop") or the clipboard ("paste") does. */
export async function give(page, how, name, type, content) {
  const bytes = content.toString("base64");
  await page.evaluate(
    ({ how, name, type, bytes }) => {
      const transfer = new DataTransfer();
      const content = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
      transfer.items.add(new File([content], name, { type }));
      const event =
        how === "drop"
          ? new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer })
          : new ClipboardEvent("paste", { bubbles: true, clipboardData: transfer });
      document.getElementById("stage").dispatchEvent(event);
    },
    { how, name, type, bytes },
  );
}

/** Wait for the answer to what was given last, and return what the page shows of it. */
export async function answer(page) {
  await page.waitForSelector(".status:is(.sure, .unsure, .failed):not(.live)");
  return page.evaluate(() => {
    const shown = (id) => document.getElementById(id).getClientRects().length > 0;
    const map = document.getElementById("map");
    return {
      label: document.getElementById("label").textContent,
      detail: document.getElementById("detail").textContent,
      probabilities: [...document.querySelectorAll("#bars .value")].map((value) => parseFloat(value.textContent) / 100),
      best: document.querySelector("#bars .best .name")?.textContent,
      picture: shown("picture"),
      map: shown("map") ? [map.height, map.width] : null,
    };
  });
}
