// The page: takes a picture or the camera, shows the answer.

import { Camera, advice } from "./camera.js";
import { Classifier } from "./classifier.js";
import { decode, fromPixels, paint, paintMap, reduce } from "./picture.js";
import { loadVectors, selfTest } from "./vectors.js";

const at = (id) => document.getElementById(id);
const json = async (path) => (await fetch(path)).json();
const percent = (share) => `${(100 * share).toFixed(1)} %`;

const [labels, description] = await Promise.all([json("labels.json"), json("model.json")]);
const models = { classifier: description.classifier.file, photo: description.photo.file };
const classifier = new Classifier(models, (received) => {
  at("detail").textContent = `${(received / 1e6).toFixed(1)} MB of the models and their runtime are here`;
});
const camera = new Camera(at("video"), () => noCamera({ message: "it was disconnected" }));
let newest = 0; // the number of what was given last; answers to what came earlier are not shown

const bars = labels.map((label) => {
  const row = at("bars").appendChild(document.createElement("li"));
  const parts = ["name", "bar", "value"].map((name) => {
    const part = row.appendChild(document.createElement("span"));
    part.className = name;
    return part;
  });
  parts[0].textContent = label;
  const fill = parts[1].appendChild(document.createElement("span"));
  return { row, fill, value: parts[2] };
});

/** What the page shows: "empty", a "picture", or the camera "live". */
function setMode(mode) {
  document.body.dataset.mode = mode;
  if (mode !== "live") camera.stop();
}

/** Show two lines; a screen reader hears those of a kind ("sure", "unsure", "failed", "idle"), not progress or a live camera. */
function say(label, detail, kind = "busy") {
  at("status").ariaBusy = String(kind === "busy" || kind.startsWith("live"));
  at("label").textContent = label;
  at("detail").textContent = detail;
  at("status").className = `status ${kind}`;
}

/** Decode and classify a file, and show the answer. */
async function takeFile(file) {
  if (!file) return;
  const mine = ++newest;
  clear();
  say("Looking …", "");
  try {
    const picture = await decode(file);
    if (mine === newest) await takePicture(picture);
  } catch {
    if (mine === newest) fail("That did not work", `${file.name || "It"} is no picture that this browser can read. Try a JPEG or PNG.`);
  }
}

/** Classify a picture { source, width, height } and show the answer. */
async function takePicture(picture) {
  const mine = ++newest;
  clear();
  setMode("picture");
  setShape(picture);
  paint(at("picture"), picture);
  say("Looking …", "");
  try {
    const answer = await classifier.classify(reduce(picture, description.host.long_side[0]));
    if (mine !== newest) return;
    showBars(answer);
    showMap(answer);
    at("picture").ariaLabel = `Your picture${answer.saw ? ", with what the answer rests on coloured" : ""}`;
    say(...named(answer, ` · took ${Math.round(answer.milliseconds)} ms`));
  } catch (error) {
    if (mine === newest) fail("That did not work", error.message);
  }
}

/** The label and the line below it; the kind tells whether the model is sure. */
function named({ kind, probabilities }, more = "") {
  const confidence = Math.max(...probabilities);
  const best = labels[probabilities.indexOf(confidence)];
  const line = percent(confidence) + more;
  return confidence < (description[kind].unsure_below ?? 0) ? ["unsure", `Best guess: ${best}, ${line}`, "unsure"] : [best, line, "sure"];
}

function showBars({ probabilities }) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  bars.forEach(({ row, fill, value }, index) => {
    row.classList.toggle("best", index === best);
    fill.style.transform = `scaleX(${probabilities[index]})`;
    value.textContent = percent(probabilities[index]);
  });
}

function showMap({ saw }) {
  at("map").hidden = !saw;
  if (saw) paintMap(at("map"), saw);
}

/** Take the former picture and its answer away. */
function clear() {
  at("map").hidden = true;
  at("picture").ariaLabel = "Your picture";
  bars.forEach(({ row, fill, value }) => {
    row.classList.remove("best");
    fill.style.transform = "scaleX(0)";
    value.textContent = "";
  });
}

function fail(label, message) {
  clear();
  setMode("empty");
  say(label, message, "failed");
}

const setShape = ({ width, height }) => at("frame").style.setProperty("--shape", width / height);

async function startCamera(deviceId) {
  if (!Camera.isAvailable) {
    if (matchMedia("(pointer: coarse)").matches) return at("photo").click();
    return fail("No camera", "Browsers give the camera to pages from https or localhost alone: choose a picture instead.");
  }
  const mine = ++newest;
  clear();
  setMode("empty");
  say("Starting the camera …", "");
  try {
    await camera.start(deviceId);
    if (mine !== newest) return;
    setMode("live");
    await offerCameraTools();
    await watch(mine);
  } catch (error) {
    if (mine === newest) noCamera(error);
  }
}

function noCamera(error) {
  newest++;
  fail("No camera", advice(error));
}

async function offerCameraTools() {
  const { cameras, current } = await camera.list();
  at("cameras").replaceChildren(...cameras.map(({ id, name }) => new Option(name, id, false, id === current)));
  at("cameras").hidden = cameras.length < 2;
  at("torch").hidden = !camera.hasTorch;
  at("torch").ariaPressed = "false";
  at("frame").classList.toggle("mirrored", camera.looksAtUser);
}

/** Classify one frame after the other until something else is wanted; what is shown is the mean with the frames before. */
async function watch(mine) {
  let mean;
  const times = [];
  for (let picture; (picture = await camera.frame()); ) {
    const answer = await classifier.classify(reduce(picture, description.host.long_side[0]));
    if (mine !== newest) return;
    mean = answer.probabilities.map((p, n) => (p + (mean?.[n] ?? p)) / 2);
    times.push(performance.now());
    if (times.length > 11) times.shift();
    const rate = (1000 * (times.length - 1)) / (times.at(-1) - times[0]);
    setShape(picture);
    showBars({ probabilities: mean });
    showMap(answer);
    at("rate").textContent = rate ? `${Math.round(rate)} a second` : "";
    const [label, detail, kind] = named({ ...answer, probabilities: mean });
    say(label, detail, `live ${kind}`);
  }
}

/** Keep what the camera sees now, and classify that. */
function takeStill() {
  if (!camera.isOn || document.body.dataset.mode !== "live") return;
  const { videoWidth: width, videoHeight: height } = at("video");
  const source = new OffscreenCanvas(width, height);
  source.getContext("2d").drawImage(at("video"), 0, 0);
  at("frame").classList.remove("mirrored");
  takePicture({ source, width, height });
}

function stop() {
  newest++;
  clear();
  setMode("empty");
  say("No picture yet", "The model knows these ten kinds:", "idle");
}

function connectInputs() {
  at("choose").addEventListener("click", () => at("file").click());
  at("camera").addEventListener("click", () => startCamera());
  at("cameras").addEventListener("change", () => startCamera(at("cameras").value));
  at("still").addEventListener("click", takeStill);
  at("video").addEventListener("click", takeStill);
  at("stop").addEventListener("click", stop);
  at("torch").addEventListener("click", async () => {
    const on = at("torch").ariaPressed !== "true";
    await camera.setTorch(on);
    at("torch").ariaPressed = String(on);
  });
  at("show-map").addEventListener("change", () => document.body.classList.toggle("no-map", !at("show-map").checked));
  for (const input of [at("file"), at("photo")]) {
    input.addEventListener("change", () => {
      takeFile(input.files[0]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  addEventListener("visibilitychange", () => document.hidden && document.body.dataset.mode === "live" && stop());
  addEventListener("paste", (event) => takeFile(event.clipboardData.files[0]));
  for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      at("stage").classList.toggle("over", over);
      if (name === "drop") takeFile(event.dataTransfer.files[0]);
    });
  }
}

async function offerSamples() {
  const vectors = await loadVectors();
  vectors.photo.pictures.slice(0, 5).forEach(({ pixels }, index) => {
    const button = at("samples").appendChild(document.createElement("button"));
    button.type = "button";
    button.ariaLabel = `Sample ${index + 1}`;
    paint(button.appendChild(document.createElement("canvas")), fromPixels(pixels));
    button.addEventListener("click", () => takePicture(fromPixels(pixels)));
  });
  at("samples").hidden = false;
  at("test").addEventListener("click", async () => {
    at("verdict").textContent = "Checking …";
    at("verdict").textContent = (await selfTest(classifier, labels, vectors)).text;
  });
}

async function keepForOffline() {
  if (!("serviceWorker" in navigator)) return; // plain http on another machine: works, but not offline
  await navigator.serviceWorker.register("service-worker.js");
  await navigator.serviceWorker.ready;
  at("offline").textContent = "Kept on this device: works without a network from now on.";
}

at("model").textContent = `${description.photo.name} ${description.photo.version}`;
if (!Camera.isAvailable && matchMedia("(pointer: coarse)").matches) at("camera").textContent = "Take a photo";
clear();
say("Getting ready …", "");
connectInputs();
offerSamples();
keepForOffline().catch((error) => (at("offline").textContent = `Not kept for use without a network: ${error.message}`));
try {
  await classifier.ready;
  if (newest === 0) stop();
} catch (error) {
  fail("That did not work", error.message);
}
