// The live camera: which there are, their frames, their light.

// What to do where the browser gives no camera, by the name of its error.
const ADVICE = {
  NotAllowedError: "The camera is blocked: allow it in the site settings beside the address, then try again.",
  NotFoundError: "This device shows no camera to the browser: choose a picture instead.",
  NotReadableError: "Another program uses the camera: close it, then try again.",
};

export const advice = ({ name, message }) => ADVICE[name] ?? `The camera does not start (${message}): choose a picture instead.`;

export class Camera {
  #video;
  #stream;

  /** Show the camera in a <video>. `onEnd` hears when the camera goes away by itself. */
  constructor(video, onEnd) {
    this.#video = video;
    this.onEnd = onEnd;
  }

  /** Browsers give the camera to pages from https or localhost alone. */
  static get isAvailable() {
    return Boolean(navigator.mediaDevices?.getUserMedia);
  }

  get isOn() {
    return Boolean(this.#stream);
  }

  /** Start a camera: the one named, else the one that looks away from the user. */
  async start(deviceId) {
    this.stop();
    const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "environment" };
    const stream = await navigator.mediaDevices.getUserMedia({ video: { ...which, width: { ideal: 640 }, height: { ideal: 480 } } });
    this.stop();
    this.#stream = stream;
    this.#track.addEventListener("ended", () => this.#stream === stream && this.onEnd());
    this.#video.srcObject = stream;
    await this.#video.play();
  }

  stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = undefined;
    this.#video.srcObject = null;
  }

  get #track() {
    return this.#stream.getVideoTracks()[0];
  }

  /** All cameras as { id, name }, and which of them is on. */
  async list() {
    const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    const cameras = devices.map(({ deviceId, label }, index) => ({ id: deviceId, name: label || `Camera ${index + 1}` }));
    return { cameras, current: this.#track.getSettings().deviceId };
  }

  get looksAtUser() {
    return this.#track.getSettings().facingMode === "user";
  }

  get hasTorch() {
    return Boolean(this.#track.getCapabilities?.().torch);
  }

  setTorch(on) {
    return this.#track.applyConstraints({ advanced: [{ torch: on }] });
  }

  /** Wait for a new frame and return it as a picture; undefined once the camera is off. */
  async frame() {
    const video = this.#video;
    await new Promise((resolve) => {
      setTimeout(resolve, 500); // a camera that is off sends no more frames
      video.requestVideoFrameCallback ? video.requestVideoFrameCallback(resolve) : requestAnimationFrame(resolve);
    });
    return this.#stream && { source: video, width: video.videoWidth, height: video.videoHeight };
  }
}
