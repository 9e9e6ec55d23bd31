// From any picture to the pixels that the models take, and from an answer back to a picture.

const SHOWN = 960; // pixels of the long side of the picture on the page
const DATASET_SIDE = 28; // pixels: pictures of this size are the dataset's own

export const isOfDataset = ({ width, height }) => width === DATASET_SIDE && height === DATASET_SIDE;

/** Decode a file as { source, width, height }, upright. Rejects what is no picture. */
export async function decode(blob) {
  const url = URL.createObjectURL(blob);
  try {
    const source = new Image();
    source.src = url;
    await source.decode();
    if (source.naturalWidth === 0 || source.naturalHeight === 0) throw new Error("it has no size");
    return { source, width: source.naturalWidth, height: source.naturalHeight };
  } finally {
    URL.revokeObjectURL(url);
  }
}

const surfaces = new Map(); // one canvas for each size that a camera's frames pass through

function surface(width, height) {
  const key = `${width}x${height}`;
  if (!surfaces.has(key)) {
    if (surfaces.size > 16) surfaces.clear();
    surfaces.set(key, new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true }));
  }
  return surfaces.get(key);
}

/**
 * Return a picture's pixels as { rgb, width, height }, its long side below twice `least` pixels.
 * Each step halves it: there, every browser's bilinear filter averages whole blocks of 2 x 2 pixels.
 */
export function reduce({ source, width, height }, least) {
  const background = isOfDataset({ width, height }) ? "#000" : "#fff";
  let context;
  do {
    if (Math.max(width, height) >= 2 * least) [width, height] = [width, height].map((side) => Math.max(1, Math.round(side / 2)));
    context = surface(width, height);
    context.fillStyle = background;
    context.fillRect(0, 0, width, height);
    context.drawImage(source, 0, 0, width, height);
    source = context.canvas;
  } while (Math.max(width, height) >= 2 * least);
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  return { rgb, width, height };
}

/** A 28x28 picture as the classifier takes it: grey (ITU-R BT.601), negated if its outermost pixels are light on average. */
export function toDataset({ rgb }) {
  const grey = (at) => (19595 * rgb[3 * at] + 38470 * rgb[3 * at + 1] + 7471 * rgb[3 * at + 2] + 32768) >> 16;
  const image = Uint8Array.from({ length: rgb.length / 3 }, (_, at) => grey(at));
  const side = DATASET_SIDE;
  const edge = image.filter((_, at) => at < side || at >= side * (side - 1) || at % side === 0 || at % side === side - 1);
  const mean = edge.reduce((sum, level) => sum + level, 0) / edge.length;
  return mean > 127.5 ? image.map((level) => 255 - level) : image;
}

/** Draw a picture on a canvas of its shape. */
export function paint(canvas, { source, width, height }) {
  const scale = Math.min(1, SHOWN / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
}

/** Draw what an answer rests on, 0..1, in clear to strong colour; the page lays it over the whole picture. */
export function paintMap(canvas, { data, rows, columns }) {
  const image = new ImageData(columns, rows);
  data.forEach((level, at) => image.data.set([255, 40 + 180 * level, 0, 170 * level], 4 * at));
  canvas.width = columns;
  canvas.height = rows;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Raw RGB pixels as a picture. */
export function fromPixels({ rgb, width, height }) {
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let at = 0; at < width * height; at++) rgba.set(rgb.subarray(3 * at, 3 * at + 3), 4 * at);
  const source = new OffscreenCanvas(width, height);
  source.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  return { source, width, height };
}
