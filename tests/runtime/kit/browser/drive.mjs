// Drives the page as people do and prints what came of it, as JSON: node drive.mjs URL SERVER_PID PICTURE...

import { readFile } from "node:fs/promises";

import { answer, give, launch, openPage, ready } from "./page.mjs";

const [url, server, ...pictures] = process.argv.slice(2);
const browser = await launch();
const { page, context, seen } = await openPage(browser);
const found = { seen };

await page.goto(url);
await ready(page);
found.tree = await page.locator("body").ariaSnapshot();

found.dropped = {};
for (const path of pictures) {
  await give(page, "drop", path, "image/jpeg", await readFile(path));
  found.dropped[path] = await answer(page);
}
await give(page, "drop", "notes.txt", "text/plain", Buffer.from("no picture"));
found.text = await answer(page);
await give(page, "paste", "image.png", "image/jpeg", await readFile(pictures[0]));
found.pasted = await answer(page);
await page.uncheck("#show-map");
found.withoutMap = await answer(page);

// The keyboard alone, from the top of a fresh page.
await page.reload();
await ready(page);
await page.waitForSelector("#samples button:nth-of-type(5)");
const focused = () => page.evaluate(() => document.activeElement.ariaLabel || document.activeElement.id);
await page.keyboard.press("Tab");
found.focused = [await focused()];
await page.keyboard.press("Tab");
found.focused.push(await focused());
const chooser = page.waitForEvent("filechooser");
await page.keyboard.press("Enter");
await (await chooser).setFiles(pictures[1]);
found.chosen = await answer(page);
await page.keyboard.press("Tab");
found.focused.push(await focused());
await page.keyboard.press("Space");
found.sample = await answer(page);
for (let presses = 0; presses < 5; presses++) await page.keyboard.press("Tab");
found.focused.push(await focused());
await page.keyboard.press("Tab");
await page.keyboard.press("Enter"); // opens the details
await page.keyboard.press("Tab");
await page.keyboard.press("Tab");
found.focused.push(await focused());
found.outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
await page.keyboard.press("Enter");
await page.waitForFunction(() => document.getElementById("verdict").textContent.includes("measured"));
found.verdict = await page.textContent("#verdict");
found.treeAfter = await page.locator("body").ariaSnapshot();

// Without a network: the server is gone.
await page.waitForFunction(() => document.getElementById("offline").textContent.startsWith("Kept on this device"));
process.kill(Number(server));
await context.setOffline(true);
await page.reload();
await ready(page);
await give(page, "drop", pictures[0], "image/jpeg", await readFile(pictures[0]));
found.offline = await answer(page);
const second = await context.newPage();
await second.goto(url);
await ready(second);
found.secondTab = await second.textContent("h1");

console.log(JSON.stringify(found));
await browser.close();
