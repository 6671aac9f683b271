"use strict";
// From the pixels of an upright photo to the square that the network takes, with Pillow's arithmetic, as zoo does it.
// Columns are resized before rows; where Pillow takes the rows first, single bytes differ by one.

const BITS = 22; // of the fractions in Pillow's weights of 8-bit images
const MAX_RATIO = 16; // of a photo's sides; of longer ones the middle is taken
const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (x) => {
      const a = -0.5;
      x = Math.abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
};

// Python's round: halves go to the even neighbour.
function rounded(x) {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

// The first pixel and the weights for each of `to` new pixels of a line of `from`.
function weightsOf(from, to, filter) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = [];
    let sum = 0;
    for (let pixel = first; pixel < last; pixel++) {
      const weight = filter.weight((pixel - centre + 0.5) / stretch);
      weights.push(weight);
      sum += weight;
    }
    const whole = weights.map((weight) => {
      const scaled = (weight / sum) * 2 ** BITS;
      return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    return { first, weights: whole };
  });
}

const clipped = (sum) => Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));

// An image is {width, height, planes}: one array of bytes for each channel.
function resized(image, width, height, how) {
  if (how === "nearest") return nearest(image, width, height);
  const filter = FILTERS[how];
  if (width !== image.width) image = acrossResized(image, weightsOf(image.width, width, filter));
  if (height !== image.height) image = downResized(image, weightsOf(image.height, height, filter));
  return image;
}

function acrossResized({ width, height, planes }, columns) {
  const made = planes.map((plane) => {
    const out = new Uint8Array(columns.length * height);
    for (let y = 0; y < height; y++) {
      columns.forEach(({ first, weights }, x) => {
        let sum = 2 ** (BITS - 1);
        for (let i = 0; i < weights.length; i++) sum += plane[y * width + first + i] * weights[i];
        out[y * columns.length + x] = clipped(sum);
      });
    }
    return out;
  });
  return { width: columns.length, height, planes: made };
}

function downResized({ width, planes }, rows) {
  const made = planes.map((plane) => {
    const out = new Uint8Array(width * rows.length);
    rows.forEach(({ first, weights }, y) => {
      for (let x = 0; x < width; x++) {
        let sum = 2 ** (BITS - 1);
        for (let i = 0; i < weights.length; i++) sum += plane[(first + i) * width + x] * weights[i];
        out[y * width + x] = clipped(sum);
      }
    });
    return out;
  });
  return { width, height: rows.length, planes: made };
}

// The pixels of a line of `from` that `to` new ones take; as Pillow does, the places are added up.
function nearestOf(from, to) {
  let place = 0.5 * (from / to);
  return Array.from({ length: to }, () => {
    const pixel = Math.trunc(place);
    place += from / to;
    return pixel;
  });
}

function nearest(image, width, height) {
  const [columns, rows] = [nearestOf(image.width, width), nearestOf(image.height, height)];
  const planes = image.planes.map((plane) => {
    const out = new Uint8Array(width * height);
    rows.forEach((row, y) => columns.forEach((column, x) => (out[y * width + x] = plane[row * image.width + column])));
    return out;
  });
  return { width, height, planes };
}

function cropped(image, left, top, width, height) {
  const planes = image.planes.map((plane) => {
    const out = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) {
      const from = (top + y) * image.width + left;
      out.set(plane.subarray(from, from + width), y * width);
    }
    return out;
  });
  return { width, height, planes };
}

function padded(image, side, mean) {
  const left = Math.floor((side - image.width) / 2);
  const top = Math.floor((side - image.height) / 2);
  const planes = image.planes.map((plane, channel) => {
    const out = new Uint8Array(side * side).fill(rounded(255 * mean[channel]));
    for (let y = 0; y < image.height; y++) {
      out.set(plane.subarray(y * image.width, (y + 1) * image.width), (top + y) * side + left);
    }
    return out;
  });
  return { width: side, height: side, planes };
}

// The three colours of RGBA pixels.
function planesOf(data, width, height) {
  const planes = Array.from({ length: 3 }, () => new Uint8Array(width * height));
  for (let i = 0; i < width * height; i++) {
    [planes[0][i], planes[1][i], planes[2][i]] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
  }
  return { width, height, planes };
}

// Pillow's brightness, for a network of one channel.
function withChannels({ width, height, planes }, channels) {
  if (channels === 3) return { width, height, planes };
  const [red, green, blue] = planes;
  const grey = red.map((value, i) => (value * 19595 + green[i] * 38470 + blue[i] * 7471 + 0x8000) >> 16);
  return { width, height, planes: [grey] };
}

// The length to which the shorter side of a photo is resized, or the longer one to pad it.
const sideOf = ({ size, crop }) => Math.max(size, rounded(size / crop));

// The square (size x size) of a photo, as `preprocessing` says.
function squareOf(image, { size, crop, interpolation, mean, fit }) {
  const side = sideOf({ size, crop });
  if (fit === "crop") {
    const most = MAX_RATIO * Math.min(image.width, image.height);
    const [width, height] = [Math.min(image.width, most), Math.min(image.height, most)];
    const [left, top] = [Math.floor((image.width - width) / 2), Math.floor((image.height - height) / 2)];
    image = cropped(image, left, top, width, height);
  }
  const share = side / (fit === "crop" ? Math.min(image.width, image.height) : Math.max(image.width, image.height));
  let [width, height] = [image.width, image.height].map((length) => Math.max(1, rounded(length * share)));
  if (fit === "squash") [width, height] = [side, side];
  image = resized(image, width, height, interpolation);
  if (fit === "pad" && (width !== side || height !== side)) image = padded(image, side, mean);
  return cropped(image, Math.floor((image.width - size) / 2), Math.floor((image.height - size) / 2), size, size);
}
