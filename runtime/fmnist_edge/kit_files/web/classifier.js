// The page's side of the worker: a picture in, a promise of its answer out.

import { isOfDataset, toDataset } from "./picture.js";

export class Classifier {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #count = 0;

  /** Start loading `models`, files by kind; `onProgress` hears how many bytes have come. `ready` fails if they cannot be run. */
  constructor(models, onProgress) {
    this.ready = new Promise((resolve, reject) => {
      // A worker whose imports are missing reports an error without a message.
      this.#worker.onerror = () => reject(new Error("the folder ort/ is missing; see README.md of the kit"));
      this.#worker.onmessage = ({ data: { type, id, received, answer, message } }) => {
        if (type === "loaded") this.#worker.postMessage({ models });
        if (type === "progress") onProgress(received);
        if (type === "ready") resolve();
        if (type === "answer") this.#take(id).resolve(answer);
        if (type === "failure") id === undefined ? reject(new Error(message)) : this.#take(id).reject(new Error(message));
      };
    });
  }

  /**
   * Return { kind, probabilities, saw, milliseconds } for pixels { rgb, width, height }. A picture of 28x28 is one of the
   * dataset, and goes to the classifier; every other goes to the photo model, which also tells what it saw.
   */
  classify(pixels) {
    const { rgb, width, height } = pixels;
    return isOfDataset(pixels)
      ? this.run("classifier", { image: [toDataset(pixels), [1, height, width]] })
      : this.run("photo", { photo: [rgb, [height, width, 3]] });
  }

  /** Run a model on its inputs, name to [bytes, shape]. */
  async run(kind, feeds) {
    await this.ready;
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, kind, feeds });
    });
  }

  #take(id) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }
}
