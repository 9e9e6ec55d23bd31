// The workload through onnxruntime in JavaScript, the same in Node and in a browser: answers as raw bytes.

const BATCH = 250;
const OUTPUTS = {
  classifier: ["hidden_quantized", "logits", "probabilities"],
  photo: ["probabilities", "image", "mask"],
};

// read(name) gives a file of the workload as Uint8Array, write(name, parts) keeps a file of the answers.
export async function runModels(ort, { images, photos, models, read, write, options = {} }) {
  const workload = JSON.parse(new TextDecoder().decode(await read("workload.json")));
  const measured = {};
  for (const model of models) {
    const session = await ort.InferenceSession.create(await read(`${model}.onnx`), options);
    measured[model] =
      model === "photo"
        ? await runPhotos(ort, session, workload.photos.slice(0, photos), read, write)
        : await runImages(ort, session, model, images, workload.alone, read, write);
  }
  return measured;
}

async function runImages(ort, session, model, count, alone, read, write) {
  const pixels = await read("images.u8");
  const some = (first, last) => new ort.Tensor("uint8", pixels.slice(first * 784, last * 784), [last - first, 28, 28]);
  const batches = [];
  for (let at = 0; at < count; at += BATCH) {
    batches.push(await session.run({ image: some(at, Math.min(at + BATCH, count)) }));
  }
  const singles = await runOneByOne(session, Array.from({ length: alone }, (_, at) => ({ image: some(at, at + 1) })));
  await keep(write, model, OUTPUTS.classifier, batches);
  await keep(write, `${model}-alone`, OUTPUTS.classifier, singles.results);
  return { images: count, ms: singles.ms };
}

async function runPhotos(ort, session, sides, read, write) {
  const pixels = await read("photos.u8");
  let at = 0;
  const photos = sides.map(([height, width]) => {
    const bytes = pixels.slice(at, (at += height * width * 3));
    return { photo: new ort.Tensor("uint8", bytes, [height, width, 3]) };
  });
  const { results, ms } = await runOneByOne(session, photos);
  await keep(write, "photo", OUTPUTS.photo, results);
  return { images: sides.length, ms };
}

// The time is the median.
async function runOneByOne(session, feeds) {
  const results = [], times = [];
  for (const feed of feeds) {
    const started = performance.now();
    results.push(await session.run(feed));
    times.push(performance.now() - started);
  }
  return { results, ms: times.sort((a, b) => a - b)[times.length >> 1] };
}

async function keep(write, folder, names, results) {
  for (const name of names) {
    const parts = results.map((result) => result[name].data);
    await write(`${folder}/${name}`, parts.map((data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));
  }
}
