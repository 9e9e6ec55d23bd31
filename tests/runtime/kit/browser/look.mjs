// Looks at each state of the page in all sizes and both colour schemes: node look.mjs URL PICTURE CAMERA_FILE FOLDER
// Writes screenshots into FOLDER and prints measures of the layout as JSON.

import { readFile } from "node:fs/promises";

import { SIZES, answer, give, launch, openPage, ready } from "./page.mjs";

const [url, picture, cameraFile, folder] = process.argv.slice(2);
const browser = await launch(cameraFile);
const found = {};

const STATES = {
  empty: async () => {},
  picture: async (page) => {
    await give(page, "drop", picture, "image/jpeg", await readFile(picture));
    await answer(page);
  },
  failed: async (page) => {
    await give(page, "drop", "notes.txt", "text/plain", Buffer.from("no picture"));
    await answer(page);
  },
  live: async (page) => {
    await page.click("#camera");
    await page.waitForFunction(() => document.getElementById("rate").textContent);
  },
};

for (const [size, options] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    const { page, context } = await openPage(browser, { ...options, colorScheme });
    await page.goto(url);
    await ready(page);
    await page.waitForSelector("#samples button:nth-of-type(5)");
    for (const [state, enter] of Object.entries(STATES)) {
      await enter(page);
      if (state !== "live") await page.waitForFunction(() => document.getAnimations().length === 0);
      await page.screenshot({ path: `${folder}/${size}-${colorScheme}-${state}.png` });
      found[`${size} ${colorScheme} ${state}`] = await page.evaluate(measure);
    }
    await context.close();
  }
}
console.log(JSON.stringify(found));
await browser.close();

/** In the page: overflow, cut texts, what of the answer is in sight, sizes of buttons, and the least contrast of any text. */
function measure() {
  const isShown = (element) => element.getClientRects().length > 0;
  const luminance = (colour) => {
    const parts = colour.match(/[\d.]+/g).slice(0, 3);
    const [r, g, b] = parts.map((part) => part / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const own = getComputedStyle(element).backgroundColor;
    return own === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : own;
  };
  const contrast = (element) => {
    const [high, low] = [getComputedStyle(element).color, ground(element)].map(luminance).sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  document.querySelector("details").open = true;
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const texts = [...document.body.querySelectorAll("*")].filter((element) => hasText(element) && isShown(element));
  const worst = texts.map((element) => [contrast(element), element.textContent.slice(0, 40)]).sort((a, b) => a[0] - b[0])[0];
  document.querySelector("details").open = false;
  const stage = document.getElementById("stage");
  const buttons = [...document.querySelectorAll("button, select")].filter(isShown);
  const boxes = buttons.map((button) => button.getBoundingClientRect());
  const bottom = (id) => document.getElementById(id).getBoundingClientRect().bottom;
  const row = document.querySelector(".buttons").getBoundingClientRect();
  return {
    overflow: document.documentElement.scrollWidth - innerWidth,
    cut: [
      ...buttons.filter((button) => button.scrollWidth > button.clientWidth + 1).map((button) => button.textContent),
      ...(stage.scrollHeight > stage.clientHeight ? [stage.textContent] : []),
    ],
    outside: boxes.filter(({ left, right }) => left < 0 || right > innerWidth).length,
    labelBottom: bottom("label"),
    barsBottom: bottom("bars"),
    visibleBottom: getComputedStyle(document.querySelector(".buttons")).position === "fixed" ? row.top : innerHeight,
    smallestButton: Math.min(...boxes.map(({ width, height }) => Math.min(width, height))),
    worst,
  };
}
