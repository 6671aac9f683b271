"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const how = facts.preprocessing;
const TOP = 5; // classes that a photo shows
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
  return planesOf(context.getImageData(0, 0, width, height).data, width, height, how.mean.length);
}

async function answersTo(image) {
  const { planes } = squareOf(image, how);
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
  return Array.from(found[network.outputNames[0]].data);
}

// The rows of an answer: the most probable classes, the labels, or the numbers.
function rowsOf(values) {
  const rows = values.map((value, index) => ({ name: facts.classes[index], value, index }));
  if (facts.task === "regression") return rows;
  rows.sort((one, other) => other.value - one.value);
  return facts.task === "classification" ? rows.slice(0, TOP) : rows;
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
      if (facts.task === "regression") figure.textContent = value.toPrecision(4);
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

async function answerFile(file) {
  const card = element("card").content.cloneNode(true).firstElementChild;
  element("photos").prepend(card);
  card.querySelector("h2").textContent = file.name;
  const picture = card.querySelector("img");
  picture.src = URL.createObjectURL(file);
  picture.alt = `The photo ${file.name}`;
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
    const image = pixelsOf(bitmap, bitmap.width, bitmap.height);
    const start = performance.now();
    show(card.querySelector("ol"), await answersTo(image));
    card.dataset.done = "yes";
    state(`${file.name} was answered in ${Math.round(performance.now() - start)} ms.`);
  } catch (error) {
    picture.remove();
    card.dataset.done = "failed";
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
      const values = await answersTo(pixelsOf(video, video.videoWidth, video.videoHeight));
      if (camera) show(element("seen"), values);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

element("about").textContent =
  `${facts.backbone} with the head ${facts.head}. ` +
  (facts.task === "regression" ? "It answers with numbers: " : `It knows ${facts.classes.length} ${facts.task === "multilabel" ? "labels" : "classes"}: `) +
  facts.classes.join(", ") + ".";
element("caution").hidden = facts.task !== "classification";
element("files").addEventListener("change", (event) => answerFiles([...event.target.files]));
element("camera").addEventListener("click", turnCamera);
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
document.addEventListener("drop", (event) => answerFiles([...event.dataTransfer.files]));
session.then(
  () => state("Ready. Nothing leaves this device."),
  (error) => state(`This browser cannot run the network: ${error.message || error}`),
);
