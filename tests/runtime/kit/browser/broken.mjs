// Opens a page that cannot work and prints what it says, as JSON: node broken.mjs URL

import { launch, openPage } from "./page.mjs";

const browser = await launch();
const { page } = await openPage(browser);
await page.goto(process.argv[2]);
if (process.argv[2].startsWith("http")) await page.waitForSelector(".status.failed");
console.log(JSON.stringify({ detail: await page.textContent("#detail") }));
await browser.close();
