// The pictures with known answers: samples to try, and the self-test.

const bytes = async (path) => new Uint8Array(await (await fetch(`vectors/${path}`)).arrayBuffer());

/** Return the vectors: each photo as { picture, probabilities, label, drawing }, and what may differ. */
export async function loadVectors() {
  const { photo } = await (await fetch("vectors/vectors.json")).json();
  const drawings = await bytes(photo.drawings);
  const photos = photo.answers.map(async ({ file, shape: [height, width], label, probabilities }, n) => ({
    picture: { rgb: await bytes(file), width, height },
    drawing: drawings.subarray(784 * n, 784 * (n + 1)),
    label,
    probabilities,
  }));
  return { photos: await Promise.all(photos), tolerance: photo.tolerance, allowed: photo.drawing_tolerance };
}

/** Run them all and return { good, text }: whether this device gives the answers that were measured. */
export async function selfTest(classifier, labels, { photos, tolerance, allowed }) {
  let wrongLabels = 0;
  let gap = 0;
  let off = 0;
  for (const { picture, drawing, label, probabilities } of photos) {
    const found = await classifier.classify(picture);
    const best = found.probabilities.indexOf(Math.max(...found.probabilities));
    if (labels[best] !== label) wrongLabels++;
    gap = Math.max(gap, ...probabilities.map((p, at) => Math.abs(p - found.probabilities[at])));
    off += found.image.filter((level, at) => Math.abs(level - drawing[at]) > allowed.levels).length;
  }
  const good = wrongLabels === 0 && gap <= tolerance && off <= (1 - allowed.share) * 784 * photos.length;
  const facts = `${photos.length} pictures: ${wrongLabels} labels differ, probabilities by at most ${gap.toExponential(0)}`;
  return { good, text: `${good ? "All as measured." : "Not as measured: do not rely on it."} ${facts}.` };
}
