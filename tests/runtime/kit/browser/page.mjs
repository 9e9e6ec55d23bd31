// A headless Chromium and what the drivers do with the page again and again.

import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.NODE_MODULES}/`)("playwright-core");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

export const SIZES = {
  phone: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 },
  desktop: { viewport: { width: 1280, height: 800 } },
};

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS });

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
  const bytes = [...content];
  await page.evaluate(
    ({ how, name, type, bytes }) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
      const event =
        how === "drop"
          ? new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer })
          : new ClipboardEvent("paste", { bubbles: true, clipboardData: transfer });
      document.getElementById("drop").dispatchEvent(event);
    },
    { how, name, type, bytes },
  );
}

/** Wait for the answer to what was given last, and return what the page shows of it. */
export async function answer(page) {
  await page.waitForSelector(".status.sure, .status.unsure, .status.failed");
  return page.evaluate(() => {
    const copy = new OffscreenCanvas(28, 28).getContext("2d", { willReadFrequently: true });
    copy.drawImage(document.getElementById("seen"), 0, 0);
    const pixels = copy.getImageData(0, 0, 28, 28).data;
    return {
      label: document.getElementById("label").textContent,
      detail: document.getElementById("detail").textContent,
      probabilities: [...document.querySelectorAll("#bars .value")].map((value) => parseFloat(value.textContent) / 100),
      best: document.querySelector("#bars .best .name")?.textContent,
      seen: [...pixels].filter((_, at) => at % 4 === 0),
      outlined: document.getElementById("picture").ariaLabel,
    };
  });
}
