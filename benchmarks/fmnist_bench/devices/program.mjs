// What runs on a device that has JavaScript: the workload through onnxruntime, its answers as raw bytes.
//
//   node program.mjs PACKAGE WORKLOAD ANSWERS IMAGES MODEL...       PACKAGE: the folder of onnxruntime-node or -web
//   CHROMIUM=/usr/bin/chromium node program.mjs ...                 onnxruntime-web in a page of headless Chromium

const BATCH = 250, ALONE = 200; // images in a batch; how many of them are also run one by one, another kernel's work

/** `read(name)` gives a file of the workload as Uint8Array, `write(name, bytes)` adds to one of the answers. */
async function runModels(ort, { count, models }, options, read, write) {
  const pictures = JSON.parse(new TextDecoder().decode(await read("pictures.json")));
  const ms = {};
  for (const model of models) {
    const session = await ort.InferenceSession.create(await read(`${model}.onnx`), options);
    const bytes = await read(model === "photo" ? "pictures.u8" : "images.u8");
    const tensor = (at, shape) => new ort.Tensor("uint8", bytes.slice(at, at + shape.reduce((a, b) => a * b)), shape);
    const images = (size, end) => Array.from({ length: Math.ceil(end / size) }, (_, n) => ({ image: tensor(784 * size * n, [Math.min(size, end - size * n), 28, 28]) }));
    let at = 0;
    const photos = () => pictures.map(([height, width]) => ({ photo: tensor((at += height * width * 3) - height * width * 3, [height, width, 3]) }));
    const times = [];
    for (const feed of model === "photo" ? photos() : [...images(BATCH, count), ...images(1, ALONE)]) {
      const started = performance.now();
      const outputs = await session.run(feed);
      times.push(performance.now() - started);
      for (const [name, { data }] of Object.entries(outputs)) {
        await write(`${model}.${name}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      }
    }
    ms[model] = times.slice(-ALONE).sort((a, b) => a - b)[ALONE >> 1];
  }
  return ms;
}

/** What a page runs, in Chromium. */
export async function inPage(job) {
  const ort = await import("/ort/ort.wasm.min.mjs");
  Object.assign(ort.env.wasm, { wasmPaths: "/ort/", numThreads: 1 });
  const read = async (name) => new Uint8Array(await (await fetch(`/workload/${name}`)).arrayBuffer());
  const write = (name, bytes) => window.keep(name, btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
  return runModels(ort, job, { executionProviders: ["wasm"] }, read, write);
}

async function inChromium(chromium, roots, read, write, job) {
  const args = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"];
  if (process.getuid?.() === 0) args.push("--no-sandbox"); // Chromium's sandbox does not work for root
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
  const page = await browser.newPage();
  await page.exposeFunction("keep", (name, base64) => write(name, Buffer.from(base64, "base64")));
  // Pages that are isolated from other origins get a clock of 5 us; others get one of 100.
  const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const kinds = { mjs: "text/javascript", wasm: "application/wasm", page: "text/html" };
  await page.route("**", async (route) => {
    const [, root, name] = new URL(route.request().url()).pathname.split("/");
    const contentType = kinds[(name ?? root).split(".").pop()] ?? "application/octet-stream";
    await route.fulfill({ body: name ? await read(name, roots[root]) : "", contentType, headers });
  });
  await page.goto("http://localhost/page"); // answered above: no server is needed
  const ms = await page.evaluate(async (job) => (await import("/program/program.mjs")).inPage(job), job);
  const version = browser.version();
  await browser.close();
  return [`Chromium ${version}`, ms];
}

async function inNode(ort, wasm, read, write, job) {
  if (wasm) ort.env.wasm.numThreads = 1;
  const options = wasm ? { executionProviders: ["wasm"] } : { intraOpNumThreads: 1 };
  return [`Node ${process.versions.node}`, await runModels(ort, job, options, async (file) => new Uint8Array(await read(file)), write)];
}

if (globalThis.process) {
  process.on("uncaughtException", (error) => process.exit(console.error(error.message) ?? 1)); // its last line is the cause
  const [{ dirname, join }, fs] = [await import("node:path"), await import("node:fs")];
  const [folder, workload, answers, count, ...models] = process.argv.slice(2);
  const require = (await import("node:module")).createRequire(join(folder, "package.json"));
  const read = async (file, root = workload) => fs.readFileSync(join(root, file));
  const write = async (file, bytes) => fs.appendFileSync(join(answers, file), bytes);
  const roots = { ort: join(folder, "dist"), workload, program: dirname(process.argv[1]) };
  const rest = [read, write, { count: Number(count), models }];
  const [host, ms] = await (process.env.CHROMIUM ? inChromium(require("playwright-core").chromium, roots, ...rest) : inNode(require(folder), folder.endsWith("web"), ...rest));
  const { name, version } = require("./package.json");
  await fs.writeFileSync(join(answers, "answers.json"), JSON.stringify({ runtime: `${name} ${version}, ${host}`, features: [], ms }));
  process.exit(0); // onnxruntime-web keeps workers alive
}
