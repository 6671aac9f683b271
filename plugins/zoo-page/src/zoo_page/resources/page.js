"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const how = facts.preprocessing;
const TOP = 5; // classes that a photo shows
const MAX_PIXELS = 80e6; // of a photo, as for zoo
const PAUSE = 400; // milliseconds between two pictures of the camera
const element = (id) => document.getElementById(id);
const state = (text) => (element("state").textContent = text);

function bytesOf(id) {
  const text = atob(element(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function opened() {
  const packed = new Blob([bytesOf("wasm")]).stream().pipeThrough(new DecompressionStream("gzip"));
  ort.env.wasm.wasmBinary = await new Response(packed).arrayBuffer();
  ort.env.wasm.numThreads = 1; // more need a server that sends certain headers
  return ort.InferenceSession.create(bytesOf("model"), { executionProviders: ["wasm"] });
}
const session = opened();

// The pixels of a photo or of the camera, upright, transparent parts on white.
function pixelsOf(picture, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0);
  return planesOf(context.getImageData(0, 0, width, height).data, width, height);
}

const distanceOf = facts.familiar && distanceTo(facts.familiar);

// The answers to a photo, with its square, and with its features and the cells of its heat map where there are any.
async function answersTo(image) {
  const square = squareOf(withChannels(image, how.mean.length), how);
  const { planes } = square;
  const shape = [1, planes.length, how.size, how.size];
  const area = how.size ** 2;
  const values = new (facts.normalises ? Uint8Array : Float32Array)(planes.length * area);
  planes.forEach((plane, channel) => {
    const [scale, shift] = [1 / (255 * how.std[channel]), -how.mean[channel] / how.std[channel]].map(Math.fround);
    for (let i = 0; i < area; i++) {
      values[channel * area + i] = facts.normalises ? plane[i] : Math.fround(plane[i] * scale) + shift;
    }
  });
  const network = await session;
  const input = new ort.Tensor(facts.normalises ? "uint8" : "float32", values, shape);
  const found = await network.run({ [network.inputNames[0]]: input });
  return { values: Array.from(found.answers.data), square, features: found.features, map: found.map };
}

// The rows of an answer: the most probable classes, the labels, or the numbers.
function rowsOf(values) {
  const rows = values.map((value, index) => ({ name: facts.classes[index], value, index }));
  if (facts.task === "regression") return rows;
  rows.sort((one, other) => other.value - one.value);
  return facts.task === "classification" ? rows.slice(0, TOP) : rows;
}

// As zoo predict shows numbers: of large ones, such as times and prices, six digits say little.
function numberText(value) {
  return String(Number(value.toPrecision(Math.abs(value) < 1e6 ? 6 : 12)));
}

function show(list, values) {
  list.replaceChildren(
    ...rowsOf(values).map(({ name, value, index }) => {
      const row = document.createElement("li");
      row.dataset.index = index;
      row.dataset.value = value;
      const words = document.createElement("span");
      words.textContent = name;
      const figure = document.createElement("b");
      if (facts.task === "regression") figure.textContent = numberText(value);
      else {
        figure.textContent = `${(100 * value).toFixed(1)} %`;
        row.style.setProperty("--share", `${100 * value}%`);
        const limit = facts.thresholds ? facts.thresholds[index] : 0.5;
        if (facts.task === "multilabel" && value > limit) row.classList.add("given");
      }
      row.append(words, figure);
      return row;
    }),
  );
}

// The word on a photo that lies further from the training images than nearly all validation images.
function showDoubt(card, features) {
  if (!features || !distanceOf) return;
  const [distance, { limit }] = [distanceOf(features.data), facts.familiar];
  card.dataset.distance = distance;
  if (!(distance > limit)) return;
  const doubt = card.querySelector("p");
  doubt.hidden = false;
  doubt.className = "doubt";
  doubt.textContent =
    `Unlike anything it was trained on (distance ${distance.toFixed(2)}; ` +
    `of the validation images 95 % are within ${limit.toFixed(2)})`;
}

// The places that speak for the most probable answer, where any do.
function showMap(card, { values, square, map }, name) {
  if (!map || !map.data.some((value) => value > 0)) return;
  const explained = facts.task === "regression" ? 0 : values.indexOf(Math.max(...values));
  const canvas = card.querySelector("canvas");
  drawMap(canvas, square, map.data, map.dims[1], map.dims[2]);
  canvas.dataset.cells = JSON.stringify(Array.from(map.data));
  canvas.ariaLabel = `The places in ${name} that speak for ${facts.classes[explained]}`;
  card.querySelector("figcaption").textContent = `The bright parts speak for ${facts.classes[explained]}`;
  card.querySelector("figure").hidden = false;
}

async function answerFile(file) {
  const card = element("card").content.cloneNode(true).firstElementChild;
  element("photos").prepend(card);
  card.querySelector("h2").textContent = file.name;
  const picture = card.querySelector("img");
  picture.alt = `The photo ${file.name}`;
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const photo = await turnedWebp(file, bytes);
    picture.src = URL.createObjectURL(photo);
    const bitmap = await createImageBitmap(photo, { imageOrientation: "from-image", colorSpaceConversion: "none" });
    if (bitmap.width * bitmap.height > MAX_PIXELS) {
      throw new Error(`It has ${bitmap.width} x ${bitmap.height} pixels, more than 80 million. Make it smaller.`);
    }
    const image = await asDecoded(pixelsOf(bitmap, bitmap.width, bitmap.height), bytes, how);
    const start = performance.now();
    const answered = await answersTo(image);
    show(card.querySelector("ol"), answered.values);
    showDoubt(card, answered.features);
    showMap(card, answered, file.name);
    card.dataset.done = "yes";
    state(`${file.name} was answered in ${Math.round(performance.now() - start)} ms.`);
  } catch (error) {
    picture.remove();
    card.dataset.done = "failed";
    card.querySelector("p").hidden = false;
    card.querySelector("p").textContent = `${file.name} cannot be answered: ${error.message || error}`;
    state(`${file.name} cannot be answered.`);
  }
}

async function answerFiles(files) {
  for (const file of files) await answerFile(file);
}

let camera = null;

async function turnCamera() {
  const video = element("video");
  if (camera) {
    camera.getTracks().forEach((track) => track.stop());
    camera = null;
  } else {
    try {
      camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      state(`The camera cannot be used: ${error.message || error}`);
      return;
    }
    video.srcObject = camera;
    await video.play();
    watchCamera(video);
  }
  element("view").hidden = !camera;
  element("camera").textContent = camera ? "Stop the camera" : "Use the camera";
}

async function watchCamera(video) {
  while (camera) {
    if (video.videoWidth) {
      const { values } = await answersTo(pixelsOf(video, video.videoWidth, video.videoHeight));
      if (camera) show(element("seen"), values);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

element("about").textContent =
  `${facts.backbone} with the head ${facts.head}. ` +
  (facts.task === "regression" ? "It answers with numbers: " : `It knows ${facts.classes.length} ${facts.task === "multilabel" ? "labels" : "classes"}: `) +
  facts.classes.map((name) => `\u2068${name}\u2069`).join(", ") + "."; // so that names from the right keep their order
element("caution").hidden = facts.task !== "classification";
element("files").addEventListener("change", (event) => answerFiles([...event.target.files]));
element("camera").addEventListener("click", turnCamera);
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
document.addEventListener("drop", (event) => answerFiles([...event.dataTransfer.files]));
session.then(
  () => state("Ready. Nothing leaves this device."),
  (error) => state(`This browser cannot run the network: ${error.message || error}`),
);
