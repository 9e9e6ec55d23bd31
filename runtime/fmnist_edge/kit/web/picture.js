// From a file to the pixels that the model takes, and from its answer back to a picture.

const ROWS = 64; // of the reduced picture at a time: a phone's canvas cannot hold a whole large photo
const SHOWN = 640; // pixels of the long side of the picture on the page

/**
 * Decode a picture as { rgb, width, height }: upright, sRGB, on white, its long side at most `longest` pixels.
 * Larger ones are averaged in square blocks of whole pixels, as fmnist-edge does; browsers' own scaling differs.
 */
export async function decode(blob, longest) {
  const url = URL.createObjectURL(blob);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    if (image.naturalWidth === 0 || image.naturalHeight === 0) throw new Error("it has no size");
    return reduce(image, image.naturalWidth, image.naturalHeight, longest);
  } finally {
    URL.revokeObjectURL(url);
  }
}

function reduce(image, fullWidth, fullHeight, longest) {
  const factor = Math.ceil(Math.max(fullWidth, fullHeight) / longest);
  const width = Math.ceil(fullWidth / factor);
  const height = Math.ceil(fullHeight / factor);
  const rgb = new Uint8Array(width * height * 3);
  const strip = new OffscreenCanvas(fullWidth, ROWS * factor).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += ROWS) {
    const rows = Math.min(ROWS * factor, fullHeight - top * factor);
    strip.fillStyle = "#fff";
    strip.fillRect(0, 0, fullWidth, rows);
    strip.drawImage(image, 0, top * factor, fullWidth, rows, 0, 0, fullWidth, rows);
    const { data } = strip.getImageData(0, 0, fullWidth, rows);
    average(data, fullWidth, rows, factor, rgb.subarray(top * width * 3));
  }
  return { rgb, width, height };
}

/** Average blocks of `factor` x `factor` RGBA pixels into RGB; those at the edges may be smaller. */
function average(rgba, width, height, factor, rgb) {
  let to = 0;
  for (let top = 0; top < height; top += factor) {
    for (let left = 0; left < width; left += factor) {
      const bottom = Math.min(top + factor, height);
      const right = Math.min(left + factor, width);
      const sums = [0, 0, 0];
      for (let y = top; y < bottom; y++) {
        for (let at = 4 * (y * width + left), end = 4 * (y * width + right); at < end; at += 4) {
          sums[0] += rgba[at];
          sums[1] += rgba[at + 1];
          sums[2] += rgba[at + 2];
        }
      }
      const count = (bottom - top) * (right - left);
      for (const sum of sums) rgb[to++] = Math.round(sum / count);
    }
  }
}

/** Draw a picture on a canvas; with a mask (96x96 bytes over all of it), draw the edge of the garment on it. */
export function paint(canvas, { rgb, width, height }, mask) {
  const scale = SHOWN / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = scale < 4;
  context.imageSmoothingQuality = "high";
  context.drawImage(toCanvas(rgb, 3, width, height), 0, 0, canvas.width, canvas.height);
  if (mask?.some((level) => level > 0)) outline(context, mask);
}

function outline(context, mask) {
  const { width, height } = context.canvas;
  const side = Math.sqrt(mask.length);
  const smooth = new OffscreenCanvas(width, height).getContext("2d");
  smooth.drawImage(toCanvas(mask, 1, side, side), 0, 0, width, height);
  const inside = smooth.getImageData(0, 0, width, height).data;
  const isInside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[4 * (y * width + x)] > 127;
  const picture = context.getImageData(0, 0, width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!isInside(x, y)) continue;
      if (isInside(x - 3, y) && isInside(x + 3, y) && isInside(x, y - 3) && isInside(x, y + 3)) continue;
      picture.data.set([255, 0, 200], 4 * (y * width + x));
    }
  }
  context.putImageData(picture, 0, 0);
}

/** Draw grey pixels, or RGB ones, as they are. */
export function paintPixels(canvas, bytes, channels, width, height) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").drawImage(toCanvas(bytes, channels, width, height), 0, 0);
}

function toCanvas(bytes, channels, width, height) {
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) rgba[4 * at + channel] = bytes[channels * at + (channel % channels)];
    rgba[4 * at + 3] = 255;
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas;
}
