// Names the garment in a picture, with onnxruntime-node. Once: npm install
//
//   node classify.js               self-test: does this device give the answers that were measured?
//   node classify.js shirt.jpg     name the garments in pictures
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

/** A picture as { data, width, height }: RGB bytes, upright, on white, its long side at most 1,024 pixels. */
async function readPicture(path) {
  const side = facts.host.longest_side;
  const { data, info } = await sharp(path)
    .rotate() // upright, by the EXIF orientation
    .resize(side, side, { fit: "inside", withoutEnlargement: true })
    .flatten({ background: "white" })
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  const rgb = info.channels === 1 ? Buffer.from(data.flatMap((level) => [level, level, level])) : data;
  return { data: rgb, width: info.width, height: info.height };
}

const tensor = (data, shape) => new ort.Tensor("uint8", new Uint8Array(data), shape);
const indexOfMax = (values) => values.indexOf(Math.max(...values));

/** The ten probabilities of a picture, and below which confidence its answer is unsure. */
async function classify({ data, width, height }) {
  if (width === 28 && height === 28 && isGrey(data)) {
    const image = onBlack(data.filter((_, at) => at % 3 === 0));
    const { probabilities } = await (await openModel("classifier")).run({ image: tensor(image, [1, 28, 28]) });
    return { probabilities: [...probabilities.data], unsureBelow: 0 };
  }
  const { probabilities } = await (await openModel("photo")).run({ photo: tensor(data, [height, width, 3]) });
  return { probabilities: [...probabilities.data], unsureBelow: facts.photo.unsure_below };
}

const isGrey = (rgb) => rgb.every((level, at) => level === rgb[at - (at % 3)]);

/** A 28x28 image as in the dataset: negated if its outermost pixels are light on average. */
function onBlack(image) {
  const onEdge = (_, at) => at < 28 || at >= 756 || at % 28 === 0 || at % 28 === 27;
  const edge = image.filter(onEdge);
  const mean = edge.reduce((sum, level) => sum + level, 0) / edge.length;
  return mean > 127.5 ? image.map((level) => 255 - level) : image;
}

/** Run the pictures with known answers; print what differs, and return whether all is well. */
async function selfTest() {
  const { classifier, photo } = await readJson("vectors/vectors.json");
  const images = await read(`vectors/${classifier.images}`);
  const batch = await (await openModel("classifier")).run({ image: tensor(images, classifier.shape) });
  const found = classifier.answers.map((_, n) => [...batch.probabilities.data.slice(10 * n, 10 * n + 10)]);
  const good = compare("classifier", classifier, found);

  const answers = [];
  const drawings = [];
  for (const { file, shape } of photo.answers) {
    const outputs = await (await openModel("photo")).run({ photo: tensor(await read(`vectors/${file}`), shape) });
    answers.push([...outputs.probabilities.data]);
    drawings.push(...outputs.image.data);
  }
  const goodPhotos = compare("photo", photo, answers);
  return compareDrawings(photo, drawings, await read(`vectors/${photo.drawings}`)) && good && goodPhotos;
}

/** Whether labels are equal and probabilities within the tolerance. */
function compare(kind, { answers, tolerance }, found) {
  const different = answers.filter(({ label }, n) => labels[indexOfMax(found[n])] !== label).length;
  const gaps = answers.flatMap(({ probabilities }, n) => probabilities.map((p, at) => Math.abs(p - found[n][at])));
  const gap = Math.max(...gaps);
  const good = different === 0 && gap <= tolerance;
  const mark = good ? "ok  " : "FAIL";
  console.log(`${mark} ${kind}: ${found.length} pictures, ${different} labels differ, probabilities by ${gap.toExponential(1)}`);
  return good;
}

/** Whether what the network saw is what it should see. */
function compareDrawings({ drawing_tolerance: { levels, share } }, found, expected) {
  const off = found.filter((level, at) => Math.abs(level - expected[at]) > levels).length;
  const good = off / found.length <= 1 - share;
  console.log(`${good ? "ok  " : "FAIL"} photo: ${off} of ${found.length} pixels of the drawings differ`);
  return good;
}

/** Name the garments in pictures, or run the self-test if there are none. */
async function main(paths) {
  if (paths.length === 0) return selfTest();
  let good = true;
  for (const path of paths) {
    try {
      const { probabilities, unsureBelow } = await classify(await readPicture(path));
      const best = indexOfMax(probabilities);
      const label = probabilities[best] < unsureBelow ? "unsure" : labels[best];
      console.log(`${path}: ${label} (${(100 * probabilities[best]).toFixed(1)} %)`);
    } catch (error) {
      console.error(`${path}: error: ${error.message}`);
      good = false;
    }
  }
  return good;
}

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
