"use strict";
// Where an answer comes from, and how unlike the training images a photo is, as zoo shows it.

// The colours of a heat map from its lowest to its highest value: matplotlib's inferno at 17 places.
const COLOURS = (
  "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4"
)
  .split(" ")
  .map((hex) => [0, 2, 4].map((from) => parseInt(hex.slice(from, from + 2), 16)));
const COVER = 0.65; // of a place at the map's highest value

function product(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i] * other[i];
  return sum;
}

// A function from features to their distance from those of the training images; zoo_core/tasks/familiar.py has the
// arithmetic.
function distanceTo({ groups, directions, features, rest, numbers }) {
  const all = new Float32Array(Uint8Array.from(atob(numbers), (letter) => letter.charCodeAt(0)).buffer);
  const line = (place) => all.subarray(place * features, (place + 1) * features);
  const axes = Array.from({ length: directions }, (_, place) => line(groups + place));
  const spreads = all.subarray((groups + directions) * features);
  const along = (vector) => axes.map((axis) => product(axis, vector));
  const means = Array.from({ length: groups }, (_, place) => ({ mean: line(place), along: along(line(place)) }));
  return (found) => {
    const length = Math.max(Math.sqrt(product(found, found)), 1e-12);
    const unit = Float64Array.from(found, (value) => value / length);
    const placed = along(unit);
    const squares = means.map((group) => {
      let [all, within, scaled] = [0, 0, 0];
      unit.forEach((value, i) => (all += (value - group.mean[i]) ** 2));
      placed.forEach((value, i) => {
        within += (value - group.along[i]) ** 2;
        scaled += ((value - group.along[i]) / spreads[i]) ** 2;
      });
      return scaled + Math.max(all - within, 0) / rest ** 2;
    });
    return Math.sqrt(Math.min(...squares) / features);
  };
}

// The first cell, the second and the share of the second for each of `to` pixels along `from` cells.
function between(from, to) {
  return Array.from({ length: to }, (_, pixel) => {
    const place = Math.max(0, ((pixel + 0.5) * from) / to - 0.5);
    const first = Math.min(Math.floor(place), from - 1);
    return { first, second: Math.min(first + 1, from - 1), share: place - first };
  });
}

// A map of height x width cells on side x side pixels, its highest value 1.
function enlarged(cells, height, width, side) {
  const highest = cells.reduce((one, other) => Math.max(one, other), 0);
  const [rows, columns] = [between(height, side), between(width, side)];
  return rows.flatMap((row) =>
    columns.map((column) => {
      const [above, below] = [row.first, row.second].map(
        (line) =>
          cells[line * width + column.first] * (1 - column.share) + cells[line * width + column.second] * column.share,
      );
      return (above * (1 - row.share) + below * row.share) / highest;
    }),
  );
}

function colourOf(share) {
  const place = Math.min(share, 1) * (COLOURS.length - 1);
  const first = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[first].map((value, i) => value + (COLOURS[first + 1][i] - value) * (place - first));
}

// Draw the square that the network saw in grey, and its heat map in colour.
function drawMap(canvas, square, cells, height, width) {
  const side = square.width;
  [canvas.width, canvas.height] = [side, side];
  const drawn = new ImageData(side, side);
  enlarged(cells, height, width, side).forEach((share, i) => {
    const grey = square.planes.reduce((sum, plane) => sum + plane[i], 0) / square.planes.length;
    const cover = COVER * share;
    const colour = colourOf(share).map((value) => Math.round((1 - cover) * grey + cover * value));
    drawn.data.set([...colour, 255], 4 * i);
  });
  canvas.getContext("2d").putImageData(drawn, 0, 0);
}
