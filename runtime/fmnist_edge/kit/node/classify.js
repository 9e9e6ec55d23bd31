// Names the garment in a picture, with onnxruntime-node. Once: npm install
//
//   node classify.js                     self-test: does this device give the answers that were measured?
//   node classify.js shirt.jpg           name the garments in pictures
//   node classify.js --map shirt.jpg     and draw, in letters, what the answer rests on
//
// sharp decodes the pictures. Exit code: 0 all well; 1 a picture could not be read, or the self-test did not hold.

import { readFile } from "node:fs/promises";

import ort from "onnxruntime-node";
import sharp from "sharp";

const KIT = new URL("../", import.meta.url);
const read = (path) => readFile(new URL(path, KIT));
const readJson = async (path) => JSON.parse(await read(path));

const labels = await readJson("labels.json");
const facts = await readJson("model.json");
const sessions = {};

/** The session for the "classifier" (28x28 images) or the "photo" model (any picture). */
async function openModel(kind) {
  sessions[kind] ??= ort.InferenceSession.create(await read(facts[kind].file), { intraOpNumThreads: 1 });
  return sessions[kind];
}

/** A picture as { data, width, height }: RGB bytes, upright, as small as the photo model needs it. */
async function readPicture(path) {
  const side = 2 * facts.host.long_side[0];
  const picture = sharp(path);
  const { width, height } = await picture.metadata();
  // Transparency is laid on white, that of a picture of the dataset on black.
  const { data, info } = await picture
    .rotate() // upright, by the EXIF orientation
    .resize(side, side, { fit: "inside", withoutEnlargement: true })
    .flatten({ background: width === 28 && height === 28 ? "black" : "white" })
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  const rgb = info.channels === 1 ? Buffer.from([...data].flatMap((level) => [level, level, level])) : data;
  return { data: rgb, width: info.width, height: info.height };
}

const tensor = (data, shape) => new ort.Tensor("uint8", new Uint8Array(data), shape);
const indexOfMax = (values) => values.indexOf(Math.max(...values));

/** The ten probabilities, below which confidence the answer is unsure, and what it rests on as a tensor of 0..1. */
async function classify({ data, width, height }) {
  const kind = width === 28 && height === 28 ? "classifier" : "photo";
  const feeds = kind === "photo" ? { photo: tensor(data, [height, width, 3]) } : { image: tensor(toDataset(data), [1, 28, 28]) };
  const { probabilities, saw } = await (await openModel(kind)).run(feeds);
  return { probabilities: [...probabilities.data], unsureBelow: facts[kind].unsure_below ?? 0, saw };
}

/** A 28x28 picture in grey (ITU-R BT.601), negated if its outermost pixels are light on average. */
function toDataset(rgb) {
  const grey = (at) => (19595 * rgb[3 * at] + 38470 * rgb[3 * at + 1] + 7471 * rgb[3 * at + 2] + 32768) >> 16;
  const image = Array.from({ length: 784 }, (_, at) => grey(at));
  const edge = image.filter((_, at) => at < 28 || at >= 756 || at % 28 === 0 || at % 28 === 27);
  const mean = edge.reduce((sum, level) => sum + level, 0) / edge.length;
  return mean > 127.5 ? image.map((level) => 255 - level) : image;
}

/** What an answer rests on in letters, the darker the more; letters are twice as high as wide. */
function draw({ data, dims: [height, width] }, columns = 32) {
  const rows = Math.max(1, Math.round((columns * height) / width / 2));
  const level = (row, column) => data[Math.floor((row * height) / rows) * width + Math.floor((column * width) / columns)];
  const line = (row) => Array.from({ length: columns }, (_, column) => " .:-=+*#%@"[Math.round(9 * level(row, column))]).join("");
  return Array.from({ length: rows }, (_, row) => `    ${line(row)}`).join("\n");
}

/** Run the pictures with known answers; print what differs, and return whether all is well. */
async function selfTest() {
  const { classifier, photo } = await readJson("vectors/vectors.json");
  const images = tensor(await read(`vectors/${classifier.images}`), classifier.shape);
  const { probabilities } = await (await openModel("classifier")).run({ image: images });
  const good = compare("classifier", classifier, classifier.answers.map((_, n) => [...probabilities.data.slice(10 * n, 10 * n + 10)]));
  const found = [];
  for (const { file, shape } of photo.answers) {
    const outputs = await (await openModel("photo")).run({ photo: tensor(await read(`vectors/${file}`), shape) });
    found.push([...outputs.probabilities.data]);
  }
  return compare("photo", photo, found) && good;
}

/** Whether labels are equal and probabilities within the tolerance. */
function compare(kind, { answers, tolerance }, found) {
  const different = answers.filter(({ label }, n) => labels[indexOfMax(found[n])] !== label).length;
  const distances = answers.flatMap(({ probabilities }, n) => probabilities.map((p, at) => Math.abs(p - found[n][at])));
  const distance = Math.max(...distances);
  const good = different === 0 && distance <= tolerance;
  const mark = good ? "ok  " : "FAIL";
  console.log(`${mark} ${kind}: ${found.length} pictures, ${different} labels differ, probabilities by ${distance.toExponential(1)}`);
  return good;
}

/** Name the garments in pictures, or run the self-test if there are none. */
async function main(given) {
  const paths = given.filter((argument) => argument !== "--map");
  if (paths.length === 0) return selfTest();
  let good = true;
  for (const path of paths) {
    try {
      const { probabilities, unsureBelow, saw } = await classify(await readPicture(path));
      const best = indexOfMax(probabilities);
      const label = probabilities[best] < unsureBelow ? "unsure" : labels[best];
      console.log(`${path}: ${label} (${(100 * probabilities[best]).toFixed(1)} %)`);
      if (given.includes("--map") && saw) console.log(draw(saw));
    } catch (error) {
      console.error(`${path}: error: ${error.message}`);
      good = false;
    }
  }
  return good;
}

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
