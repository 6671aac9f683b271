"use strict";
// Large JPEGs as zoo decodes them: at a half, a quarter or an eighth of their size.

const REDUCED = 2; // the decoded photo stays so many times as large as resized
const ORDERS = { BGRX: [2, 1, 0], BGRA: [2, 1, 0], RGBX: [0, 1, 2], RGBA: [0, 1, 2] }; // of the bytes of a pixel
const letters = (bytes, from, length) => String.fromCharCode(...bytes.subarray(from, from + length));

// Of a JPEG file: how its rows and columns become those of the upright photo. Null for other files, and for those of
// several pictures, which zoo decodes whole.
function jpegOf(bytes) {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let [orientation, several, isGainMap] = [1, false, false];
  for (let place = 2; place + 4 < bytes.length && bytes[place] === 0xff && bytes[place + 1] !== 0xda; ) {
    const [kind, length] = [bytes[place + 1], view.getUint16(place + 2)];
    if (kind === 0xe2 && letters(bytes, place + 4, 4) === "MPF\0") several = true;
    if (kind === 0xe1 && letters(bytes, place + 4, 6) === "Exif\0\0") orientation = orientationOf(view, place + 10) || 1;
    else if (kind === 0xe1) isGainMap ||= letters(bytes, place, Math.min(length, 4096)).includes('hdrgm:Version="');
    place += 2 + length;
  }
  if (several && !isGainMap) return null;
  return {
    turned: orientation > 4,
    fromRight: [2, 3, 7, 8].includes(orientation),
    fromBelow: [3, 4, 6, 7].includes(orientation),
  };
}

// The orientation in the Exif data that begin at `start`; undefined where they do not say it.
function orientationOf(view, start) {
  try {
    const little = view.getUint16(start) === 0x4949;
    const table = start + view.getUint32(start + 4, little);
    for (let entry = 0; entry < view.getUint16(table, little); entry++) {
      const place = table + 2 + 12 * entry;
      if (view.getUint16(place, little) === 0x0112) return view.getUint16(place + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // damaged: no orientation, as for the browser
  }
}

// The pixels of the upright photo in a file as zoo decodes it.
async function asDecoded(image, bytes, how) {
  const jpeg = jpegOf(bytes);
  const most = Math.floor(Math.min(image.width, image.height) / (REDUCED * sideOf(how)));
  const factor = [8, 4, 2].find((one) => most >= one);
  if (!jpeg || !factor) return image;
  return (await decodedSmaller(image, bytes, factor, jpeg)) || averaged(image, factor, jpeg);
}

// The photo by the browser's own decoder at a part of its size, which is zoo's decoder in Chromium, to the bit; null where
// the browser cannot.
async function decodedSmaller(image, data, factor, jpeg) {
  if (typeof ImageDecoder === "undefined") return null;
  const sides = [image.width, image.height].map((side) => Math.ceil(side / factor));
  const [desiredWidth, desiredHeight] = jpeg.turned ? sides.reverse() : sides;
  const asked = { data, type: "image/jpeg", desiredWidth, desiredHeight, colorSpaceConversion: "none" };
  const decoder = new ImageDecoder(asked);
  try {
    const { image: frame } = await decoder.decode();
    const order = ORDERS[frame.format];
    const { width, height } = frame.visibleRect;
    if (!order || width !== desiredWidth || height !== desiredHeight) return null;
    const pixels = new Uint8Array(frame.allocationSize());
    const [{ offset, stride }] = await frame.copyTo(pixels);
    frame.close();
    return upright((x, y, channel) => pixels[offset + y * stride + 4 * x + order[channel]], width, height, jpeg);
  } catch (error) {
    return null;
  } finally {
    decoder.close();
  }
}

// The photo of pixels that a file stores in another orientation.
function upright(pixel, stored, lines, { turned, fromRight, fromBelow }) {
  const [width, height] = turned ? [lines, stored] : [stored, lines];
  const planes = [0, 1, 2].map((channel) => {
    const out = new Uint8Array(width * height);
    for (let i = 0; i < out.length; i++) {
      const [across, down] = [i % width, Math.floor(i / width)];
      const [x, y] = turned ? [down, across] : [across, down];
      out[i] = pixel(fromRight ? stored - 1 - x : x, fromBelow ? lines - 1 - y : y, channel);
    }
    return out;
  });
  return { width, height, planes };
}

// The means of blocks of `factor` pixels each way, from the corner where the file begins; those at the end are smaller. A
// decoder gives the same, but for roundings and the finer colours that it has at a half.
function averaged({ width, height, planes }, factor, { turned, fromRight, fromBelow }) {
  const [leftLast, topLast] = turned ? [fromBelow, fromRight] : [fromRight, fromBelow];
  const [columns, rows] = [blocksOf(width, factor, leftLast), blocksOf(height, factor, topLast)];
  const made = planes.map((plane) => {
    const out = new Uint8Array(columns.length * rows.length);
    rows.forEach(([top, bottom], row) => {
      columns.forEach(([left, right], column) => {
        let sum = 0;
        for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += plane[y * width + x];
        out[row * columns.length + column] = Math.round(sum / ((bottom - top) * (right - left)));
      });
    });
    return out;
  });
  return { width: columns.length, height: rows.length, planes: made };
}

// The first pixel of each block of a line, and the one behind its last.
function blocksOf(length, factor, fromEnd) {
  const count = Math.ceil(length / factor);
  const over = fromEnd ? count * factor - length : 0;
  return Array.from({ length: count }, (_, block) => [
    Math.max(0, block * factor - over),
    Math.min(length, (block + 1) * factor - over),
  ]);
}
