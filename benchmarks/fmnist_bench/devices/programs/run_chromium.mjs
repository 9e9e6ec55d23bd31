// What runs on a device that has a browser:
// node run_chromium.mjs CHROMIUM NODE_MODULES WORKLOAD ANSWERS IMAGES PHOTOS MODEL...

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const [executablePath, modules, workload, answers, images, photos, ...models] = process.argv.slice(2);
const require = createRequire(join(modules, "package.json"));
const { chromium } = require("playwright-core");
const version = JSON.parse(await readFile(join(modules, "onnxruntime-web", "package.json"))).version;

const KINDS = { ".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };
// Pages that are isolated from other origins get a clock of 5 us; others get one of 100.
const ISOLATED = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const ROOTS = { modules, given: workload, answers, programs: dirname(fileURLToPath(import.meta.url)) };

// The page and all that it reads and writes, on this machine alone.
const server = createServer(async (request, response) => {
  const [, root, ...rest] = normalize(decodeURI(request.url)).split("/");
  const path = join(ROOTS[root] ?? "/nowhere", ...rest);
  try {
    if (request.method === "PUT" && root === "answers") {
      const parts = [];
      for await (const part of request) parts.push(part);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, Buffer.concat(parts));
      response.end();
    } else {
      const body = await readFile(path);
      response.writeHead(200, { "content-type": KINDS[extname(path)] ?? "application/octet-stream", ...ISOLATED }).end(body);
    }
  } catch (error) {
    response.writeHead(404).end(String(error));
  }
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const profile = await mkdtemp(join(tmpdir(), "fmnist-chromium-"));
const flags = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
flags.push("--disable-component-update", "--disable-sync");
if (process.getuid?.() === 0) flags.push("--no-sandbox"); // Chromium's sandbox does not work for root
const browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: flags });
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/programs/page.html`);
  await page.waitForFunction(() => window.ready);
  const job = { images: Number(images), photos: Number(photos), models };
  const measured = await page.evaluate((job) => window.run(job), job);
  const host = `Chromium ${browser.browser().version()}`;
  const report = { runtime: `onnxruntime-web ${version}`, host, features: [], models: measured };
  await writeFile(join(answers, "answers.json"), JSON.stringify(report));
} finally {
  await browser.close();
  server.close();
  await rm(profile, { recursive: true, force: true });
}
