// Runs the models beside the page, so that the page never stands still.

import * as ort from "./ort/ort.wasm.min.js";

const sessions = {};

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

async function start(models) {
  let received = 0;
  const progress = (bytes) => postMessage({ type: "progress", received: (received += bytes) });
  const get = (path) => fetchBytes(new URL(path, import.meta.url), progress);
  const kinds = Object.keys(models);
  const [wasm, ...graphs] = await Promise.all(["ort/ort-wasm-simd-threaded.wasm", ...Object.values(models)].map(get));
  ort.env.wasm.numThreads = 1; // more would need headers that not every server sends
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: new URL("ort/ort-wasm-simd-threaded.js", import.meta.url).href };
  for (const [at, kind] of kinds.entries()) {
    sessions[kind] = await ort.InferenceSession.create(new Uint8Array(graphs[at]), { executionProviders: ["wasm"] });
  }
  await run("photo", { photo: [new Uint8Array(128 * 96 * 3), [128, 96, 3]] }); // the first run is slower: not the user's
  postMessage({ type: "ready" });
}

async function run(kind, feeds) {
  const begun = performance.now();
  const tensors = Object.entries(feeds).map(([name, [bytes, shape]]) => [name, new ort.Tensor("uint8", bytes, shape)]);
  const { probabilities, saw } = await sessions[kind].run(Object.fromEntries(tensors));
  const milliseconds = performance.now() - begun;
  const map = saw && { data: saw.data, rows: saw.dims[0], columns: saw.dims[1] };
  return { kind, probabilities: [...probabilities.data], saw: map, milliseconds };
}

self.addEventListener("message", async ({ data: { id, models, kind, feeds } }) => {
  try {
    if (models) await start(models);
    else postMessage({ type: "answer", id, answer: await run(kind, feeds) });
  } catch (error) {
    postMessage({ type: "failure", id, message: error.message });
  }
});
postMessage({ type: "loaded" });
