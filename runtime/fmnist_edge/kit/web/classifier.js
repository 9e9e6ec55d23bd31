// The page's side of the worker: a picture in, a promise of its answer out.

export class Classifier {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #count = 0;

  /** Start loading `model`; `onProgress` hears how many bytes have come. `ready` fails if it cannot be run. */
  constructor(model, onProgress) {
    this.ready = new Promise((resolve, reject) => {
      // A worker whose imports are missing reports an error without a message.
      this.#worker.onerror = () => reject(new Error("the folder ort/ is missing; see README.md of the kit"));
      this.#worker.onmessage = ({ data: { type, id, received, answer, message } }) => {
        if (type === "loaded") this.#worker.postMessage({ model });
        if (type === "progress") onProgress(received);
        if (type === "ready") resolve();
        if (type === "answer") this.#take(id).resolve(answer);
        if (type === "failure") id === undefined ? reject(new Error(message)) : this.#take(id).reject(new Error(message));
      };
    });
  }

  /** Return { probabilities, image, mask, milliseconds } for a picture { rgb, width, height }. */
  async classify(picture) {
    await this.ready;
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, picture });
    });
  }

  #take(id) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }
}
