// Runs the model beside the page, so that the page never stands still.

import * as ort from "./ort/ort.wasm.min.js";

let session;

/** Fetch bytes and tell the page how many have come. */
async function fetchBytes(path, progress) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${response.statusText}`);
  const counter = new TransformStream({
    transform(chunk, controller) {
      progress(chunk.length);
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(counter)).arrayBuffer();
}

async function start(model) {
  let received = 0;
  const progress = (bytes) => postMessage({ type: "progress", received: (received += bytes) });
  const get = (path) => fetchBytes(new URL(path, import.meta.url), progress);
  const [wasm, graph] = await Promise.all([get("ort/ort-wasm-simd-threaded.wasm"), get(model)]);
  ort.env.wasm.numThreads = 1; // more would need headers that not every server sends
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: new URL("ort/ort-wasm-simd-threaded.js", import.meta.url).href };
  session = await ort.InferenceSession.create(new Uint8Array(graph), { executionProviders: ["wasm"] });
  await run({ rgb: new Uint8Array(28 * 28 * 3), width: 28, height: 28 }); // the first run is slower: not the user's
  postMessage({ type: "ready" });
}

async function run({ rgb, width, height }) {
  const begun = performance.now();
  const { probabilities, image, mask } = await session.run({ photo: new ort.Tensor("uint8", rgb, [height, width, 3]) });
  const milliseconds = performance.now() - begun;
  return { probabilities: [...probabilities.data], image: image.data, mask: mask.data, milliseconds };
}

self.addEventListener("message", async ({ data: { id, model, picture } }) => {
  try {
    if (model) await start(model);
    else postMessage({ type: "answer", id, answer: await run(picture) });
  } catch (error) {
    postMessage({ type: "failure", id, message: error.message });
  }
});
postMessage({ type: "loaded" });
