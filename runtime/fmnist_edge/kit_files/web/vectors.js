// The pictures with known answers: samples to try, and the self-test.

const bytes = async (path) => new Uint8Array(await (await fetch(`vectors/${path}`)).arrayBuffer());

/** Return the vectors by kind, as { tolerance, pictures: [{ feeds, pixels, label, probabilities }] }. */
export async function loadVectors() {
  const { classifier, photo } = await (await fetch("vectors/vectors.json")).json();
  const images = await bytes(classifier.images);
  const ofDataset = classifier.answers.map((answer, n) => ({
    ...answer,
    feeds: { image: [images.subarray(784 * n, 784 * (n + 1)), [1, 28, 28]] },
  }));
  const photos = photo.answers.map(async ({ file, shape, ...answer }) => {
    const rgb = await bytes(file);
    return { ...answer, feeds: { photo: [rgb, shape] }, pixels: { rgb, height: shape[0], width: shape[1] } };
  });
  return {
    classifier: { tolerance: classifier.tolerance, pictures: ofDataset },
    photo: { tolerance: photo.tolerance, pictures: await Promise.all(photos) },
  };
}

/** Run them all and return { good, text }: whether this device gives the answers that were measured. */
export async function selfTest(classifier, labels, vectors) {
  let count = 0;
  let wrongLabels = 0;
  let good = true;
  let largest = 0;
  for (const [kind, { tolerance, pictures }] of Object.entries(vectors)) {
    for (const { feeds, label, probabilities } of pictures) {
      const found = await classifier.run(kind, feeds);
      const best = found.probabilities.indexOf(Math.max(...found.probabilities));
      const difference = Math.max(...probabilities.map((p, at) => Math.abs(p - found.probabilities[at])));
      count++;
      if (labels[best] !== label) wrongLabels++;
      good &&= labels[best] === label && difference <= tolerance;
      largest = Math.max(largest, difference);
    }
  }
  const figures = `${count} pictures: ${wrongLabels} labels differ, probabilities by at most ${largest.toExponential(0)}`;
  return { good, text: `${good ? "All as measured." : "Not as measured: do not rely on it."} ${figures}.` };
}
