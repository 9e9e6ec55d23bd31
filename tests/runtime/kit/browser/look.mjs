// Looks at the page in both sizes and both colour schemes: node look.mjs URL PICTURE FOLDER
// Writes screenshots into FOLDER and prints measures of the layout as JSON.

import { readFile } from "node:fs/promises";

import { SIZES, answer, give, launch, openPage, ready } from "./page.mjs";

const [url, picture, folder] = process.argv.slice(2);
const browser = await launch();
const found = {};
for (const [size, options] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    const { page, context } = await openPage(browser, { ...options, colorScheme });
    await page.goto(url);
    await ready(page);
    await page.waitForSelector("#samples button:nth-of-type(5)");
    await page.screenshot({ path: `${folder}/${size}-${colorScheme}-empty.png` });
    await give(page, "drop", picture, "image/jpeg", await readFile(picture));
    await answer(page);
    await page.waitForFunction(() => document.getAnimations().length === 0);
    await page.screenshot({ path: `${folder}/${size}-${colorScheme}.png` });
    found[`${size} ${colorScheme}`] = await page.evaluate(measure);
    await page.setViewportSize({ width: 320, height: 640 }); // the narrowest that must not scroll sideways (WCAG 1.4.10)
    found[`${size} ${colorScheme}`].narrow = await page.evaluate(() => document.documentElement.scrollWidth);
    await context.close();
  }
}
console.log(JSON.stringify(found));
await browser.close();

/** In the page: overflow, whether the answer is in sight, sizes of buttons, and the least contrast of any text. */
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
  const buttons = [...document.querySelectorAll("button")].filter(isShown).map((button) => button.getBoundingClientRect());
  const label = document.getElementById("label").getBoundingClientRect();
  return {
    overflow: document.documentElement.scrollWidth - innerWidth,
    labelBottom: label.bottom,
    height: innerHeight,
    smallestButton: Math.min(...buttons.map(({ width, height }) => Math.min(width, height))),
    camera: isShown(document.getElementById("take")) && document.getElementById("camera").getAttribute("capture"),
    worst,
  };
}
