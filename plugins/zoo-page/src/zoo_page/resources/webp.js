"use strict";
// WebP photos with an orientation in their Exif data, which zoo applies and browsers do not.

// Of a photo of w x h pixels, by its orientation from 2 on: the matrix of its canvas. From the fourth on, sides change.
const TURNS = [
  (w, h) => [-1, 0, 0, 1, w, 0],
  (w, h) => [-1, 0, 0, -1, w, h],
  (w, h) => [1, 0, 0, -1, 0, h],
  (w, h) => [0, 1, 1, 0, 0, 0],
  (w, h) => [0, 1, -1, 0, h, 0],
  (w, h) => [0, -1, -1, 0, h, w],
  (w, h) => [0, -1, 1, 0, 0, w],
];

// Where the Exif data of a WebP file have their chunk; undefined in other files and without such data.
function exifOfWebp(bytes) {
  if (letters(bytes, 0, 4) !== "RIFF" || letters(bytes, 8, 4) !== "WEBP") return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let place = 12; place + 8 <= bytes.length; ) {
    if (letters(bytes, place, 4) === "EXIF") return place;
    const length = view.getUint32(place + 4, true);
    place += 8 + length + (length % 2);
  }
}

// The photo in a file, upright: a WebP with an orientation as a picture of its turned pixels, others as they are.
async function turnedWebp(file, bytes) {
  const chunk = exifOfWebp(bytes);
  if (chunk === undefined) return file;
  const start = chunk + 8 + (letters(bytes, chunk + 8, 6) === "Exif\0\0" ? 6 : 0);
  const turn = orientationOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), start) - 2;
  if (!TURNS[turn]) return file;
  const unnamed = bytes.slice();
  unnamed.set([0x20, 0x20, 0x20, 0x20], chunk); // a browser that applies it does not find it: it is applied once
  const bitmap = await createImageBitmap(new Blob([unnamed]), { colorSpaceConversion: "none" });
  const [across, down] = [bitmap.width, bitmap.height];
  if (across * down > MAX_PIXELS) return file; // which is refused
  const [width, height] = turn >= 3 ? [down, across] : [across, down];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(...TURNS[turn](across, down));
  context.drawImage(bitmap, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve));
}
