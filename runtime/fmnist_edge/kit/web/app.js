// The page: takes a picture, shows the answer.

import { Classifier } from "./classifier.js";
import { decode, paint, paintPixels } from "./picture.js";
import { loadVectors, selfTest } from "./vectors.js";

const at = (id) => document.getElementById(id);
const json = async (path) => (await fetch(path)).json();
const percent = (share) => `${(100 * share).toFixed(1)} %`;

const [labels, { host, photo: model }] = await Promise.all([json("labels.json"), json("model.json")]);
const classifier = new Classifier(model.file, (received) => {
  at("detail").textContent = `${(received / 1e6).toFixed(1)} MB of the model and its runtime are here`;
});
let newest = 0; // the number of the picture that was given last; answers to earlier ones are not shown

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

/** Show two lines; a screen reader hears those of a kind ("sure", "unsure", "failed", "idle"), not mere progress. */
function say(label, detail, kind = "busy") {
  at("status").ariaBusy = String(kind === "busy");
  at("label").textContent = label;
  at("detail").textContent = detail;
  at("status").className = `status ${kind}`;
}

/** Decode and classify a file, and show the answer. */
async function takeFile(file) {
  if (!file) return;
  const mine = ++newest;
  say("Looking …", "");
  try {
    const picture = await decode(file, host.longest_side);
    if (mine === newest) await takePicture(picture);
  } catch {
    if (mine === newest) fail(`${file.name || "It"} is no picture that this browser can read. Try a JPEG or PNG.`);
  }
}

/** Classify decoded pixels and show the answer. */
async function takePicture(picture) {
  const mine = ++newest;
  paint(at("picture"), picture);
  at("picture").hidden = false;
  at("invitation").hidden = true;
  say("Looking …", "");
  try {
    const answer = await classifier.classify(picture);
    if (mine === newest) show(picture, answer);
  } catch (error) {
    if (mine === newest) fail(error.message);
  }
}

function show(picture, { probabilities, image, mask, milliseconds }) {
  const confidence = Math.max(...probabilities);
  const best = probabilities.indexOf(confidence);
  const unsure = confidence < model.unsure_below;
  paint(at("picture"), picture, mask);
  at("picture").ariaLabel = "Your picture, with the outline of what the model found";
  paintPixels(at("seen"), image, 1, 28, 28);
  at("seen").ariaLabel = "What the model saw: the garment in 28 by 28 grey pixels";
  const facts = `${percent(confidence)} · took ${Math.round(milliseconds)} ms`;
  if (unsure) say("unsure", `Best guess: ${labels[best]}, ${facts}`, "unsure");
  else say(labels[best], facts, "sure");
  bars.forEach(({ row, fill, value }, index) => {
    row.classList.toggle("best", index === best);
    fill.style.width = `${100 * probabilities[index]}%`;
    value.textContent = percent(probabilities[index]);
  });
}

function fail(message) {
  say("That did not work", message, "failed");
}

function connectInputs() {
  for (const [button, input] of [["take", "camera"], ["choose", "file"]]) {
    at(button).addEventListener("click", () => at(input).click());
    at(input).addEventListener("change", () => {
      takeFile(at(input).files[0]);
      at(input).value = ""; // so that the same file can be chosen again
    });
  }
  addEventListener("paste", (event) => takeFile(event.clipboardData.files[0]));
  for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", over);
      if (name === "drop") takeFile(event.dataTransfer.files[0]);
    });
  }
}

async function offerSamples() {
  const vectors = await loadVectors();
  vectors.photos.slice(0, 5).forEach(({ picture }, index) => {
    const button = at("samples").appendChild(document.createElement("button"));
    button.type = "button";
    button.ariaLabel = `Sample ${index + 1}`;
    paintPixels(button.appendChild(document.createElement("canvas")), picture.rgb, 3, picture.width, picture.height);
    button.addEventListener("click", () => takePicture(picture));
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

at("model").textContent = `${model.name} ${model.version}`;
const measured = model.measured["validation photos"];
if (measured) {
  const share = percent(measured.accuracy);
  at("measured").textContent = `Of ${measured.images} photos that it was not trained on, it named ${share} rightly.`;
}
say("Getting ready …", "");
connectInputs();
offerSamples();
keepForOffline().catch((error) => (at("offline").textContent = `Not kept for use without a network: ${error.message}`));
try {
  await classifier.ready;
  if (newest === 0) say("No picture yet", "The model knows these ten kinds:", "idle");
} catch (error) {
  fail(error.message);
}
