// Replaces the page's files under a browser that has kept them: node update.mjs URL FOLDER NEW_FOLDER

import { cp } from "node:fs/promises";

import { launch, openPage, ready } from "./page.mjs";

const [url, folder, newFolder] = process.argv.slice(2);
const browser = await launch();
const { page, context } = await openPage(browser);
const title = (page) => page.textContent("h1");

await page.goto(url);
await ready(page);
await page.waitForFunction(() => document.getElementById("offline").textContent.startsWith("Kept on this device"));
const found = { before: await title(page) };

await cp(newFolder, folder, { recursive: true });
await page.reload();
await ready(page);
found.during = await title(page);
found.newWorker = await page.evaluate(async () => {
  const registration = await navigator.serviceWorker.ready;
  await registration.update();
  const worker = registration.installing ?? registration.waiting;
  while (worker?.state === "installing") await new Promise((resolve) => setTimeout(resolve, 50));
  return worker?.state;
});
await page.close();

const later = await context.newPage();
for (let tries = 0; tries < 50 && found.after !== "New"; tries++) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  await later.goto("about:blank");
  await later.goto(url);
  found.after = await title(later);
}
await ready(later);
found.caches = await later.evaluate(async () => (await caches.keys()).length);
console.log(JSON.stringify(found));
await browser.close();
