// What runs on a device that has Node: node run_node.mjs PACKAGE WORKLOAD ANSWERS IMAGES PHOTOS MODEL...
// PACKAGE is the folder of onnxruntime-node (native) or onnxruntime-web (wasm).

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { runModels } from "./models.mjs";

const [folder, workload, answers, images, photos, ...models] = process.argv.slice(2);
const require = createRequire(join(folder, "package.json"));
const { name, version } = require("./package.json");
const ort = require(folder);
if (ort.env?.wasm) ort.env.wasm.numThreads = 1;

const measured = await runModels(ort, {
  images: Number(images),
  photos: Number(photos),
  models,
  read: async (file) => new Uint8Array(await readFile(join(workload, file))),
  write: async (file, parts) => {
    await mkdir(dirname(join(answers, file)), { recursive: true });
    await writeFile(join(answers, file), Buffer.concat(parts));
  },
  options: name === "onnxruntime-web" ? { executionProviders: ["wasm"] } : { intraOpNumThreads: 1 },
});
const report = { runtime: `${name} ${version}`, host: `Node ${process.versions.node}`, features: [], models: measured };
await writeFile(join(answers, "answers.json"), JSON.stringify(report));
process.exit(0); // onnxruntime-web keeps workers alive
