// Names the garment in a picture, with onnxruntime-node. Once: npm install
//
//   node classify.js                     self-test: does this device give the answers that were measured?
//   node classify.js shirt.jpg           name the garments in pictures
//   node classify.js --map shirt.jpg     and draw, in letters, what the answer rests on
//
// In a program of your own: import { classify } from "./classify.js"; await classify("shirt.jpg" or its bytes).
// sharp decodes the pictures. Exit code: 0 all well; 1 a picture could not be read, or the self-test did not hold.

import { readFile, realpath } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import ort from "onnxruntime-node";
import sharp from "sharp";

const KIT = new URL("../", import.meta.url);
const read = (path) => readFile(new URL(path, KIT));
const readJson = async (path) => JSON.parse(await read(path));

const labels = await readJson("labels.json");
const description = await readJson("model.json");
const sessions = {};

/** The session for the "classifier" (28x28 images) or the "photo" model (any picture). */
function openModel(kind) {
  sessions[kind] ??= read(description[kind].file).then((model) => ort.InferenceSession.create(model, { intraOpNumThreads: 1 }));
  return sessions[kind];
}

/** A picture (its path or its bytes) as { data, width, height }: RGB, upright, as small as the photo model needs it. */
async function readPicture(source) {
  const side = 2 * description.host.long_side[0];
  const picture = sharp(source);
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

/**
 * Name the garment in a picture, given by its path or its bytes (a Buffer): { label, confidence, probabilities, saw }.
 *
 * `label` is "unsure" if the confidence, 0..1, is below the model's threshold; `saw` is a tensor of 0..1 over the
 * picture, what the answer rests on, or undefined for pictures of 28x28 pixels. Throws if it is no picture.
 */
export async function classify(source) {
  const { data, width, height } = await readPicture(source);
  const kind = width === 28 && height === 28 ? "classifier" : "photo";
  const feeds = kind === "photo" ? { photo: tensor(data, [height, width, 3]) } : { image: tensor(toDataset(data), [1, 28, 28]) };
  const { probabilities, saw } = await (await openModel(kind)).run(feeds);
  const best = indexOfMax(probabilities.data);
  const confidence = probabilities.data[best];
  const label = confidence < (description[kind].unsure_below ?? 0) ? "unsure" : labels[best];
  return { label, confidence, probabilities: [...probabilities.data], saw };
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
      const { label, confidence, saw } = await classify(path);
      console.log(`${path}: ${label} (${(100 * confidence).toFixed(1)} %)`);
      if (given.includes("--map") && saw) console.log(draw(saw));
    } catch (error) {
      console.error(`${path}: error: ${error.message.trim().split("\n").at(-1)}`);
      good = false;
    }
  }
  return good;
}

const program = process.argv[1] && (await realpath(process.argv[1]).catch(() => ""));
if (program === fileURLToPath(import.meta.url)) process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
