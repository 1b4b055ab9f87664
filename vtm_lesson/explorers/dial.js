// The saliency explorer: attention with saliency, where a loss pushes it, and a training step by step. See dial.py.

import { top } from "./merging.js";
import { COLOURS, answers, arrow, box, button, handle, ledger, make, percent, picture, plane, sentence, slider } from "./parts.js";

const NAMES = [0, 1, 2];
const TONES = [COLOURS.blue, COLOURS.vermillion, COLOURS.green];
const RATE = 0.5; // of one step of descent
const CELL = 14; // pixels of a patch
const GAMMA = 6;
const LOW = [0, 32, 76]; // colours of -1 and 1: dark to light, so that they can be told without seeing hues
const HIGH = [255, 246, 180];

export function explore(el, data) {
  const s = [...data.s];
  const wanted = [...data.wanted];
  const drawing = plane("values, output and the point that the loss wants", 380, data.extent);
  const back = make("g");
  const goal = handle({
    plane: drawing, read: () => wanted,
    shape: [make("circle", { r: 14, fill: "#fff0", stroke: "#111", "stroke-width": 3 }), make("circle", { r: 4, fill: "#111" })],
    move: (x, y) => { wanted.splice(0, 2, x, y); changed(); },
  });
  drawing.svg.append(back, goal);
  const dials = make("svg", { viewBox: "0 0 400 380", width: 400, role: "img" });
  const sliders = NAMES.map((i) => slider({
    label: `s of token ${i}`, min: -1, max: 1, step: 0.01, value: s[i], shown: two, change: (value) => { s[i] = value; changed(); },
  }));
  const step = button("one step of descent", () => {
    attend().gradient.forEach((slope, i) => { s[i] = Math.max(-1, Math.min(1, s[i] - RATE * slope)); });
    show();
  });
  const reset = button("reset", () => {
    data.s.forEach((value, i) => { s[i] = value; });
    wanted.splice(0, 2, ...data.wanted);
    show();
  });
  const said = sentence();
  const at = slider({
    label: "training step", values: data.steps, value: data.steps[data.steps.length - 1], change: () => drawStep(),
  });
  const [frames, height, width] = data.grid;
  const map = picture("", frames * (width * CELL + 8) - 8, height * CELL);
  const means = ledger("mean saliency");
  const saidOfStep = sentence();
  const root = box(el, "saliency explorer",
    make("div", { class: "vtm-row" }, ...sliders),
    make("div", { class: "vtm-row" }, step, reset),
    said,
    make("div", { class: "vtm-row" },
      make("figure", { style: "width: 380px" }, make("figcaption", {}, "values ●■▲, output ✚; the ring is wanted: drag it, or use arrow keys"), drawing.svg),
      make("figure", { style: "width: 400px" }, make("figcaption", {}, "grey bars: attention weights; arrows: where descent pushes each s"), dials)),
    make("div", { class: "vtm-row" }, at),
    saidOfStep,
    make("div", { class: "vtm-row" }, map, means));

  /** softmax((q k + s) / sqrt(C)) for one query (VTM eq. 10), the output, the loss, and its gradient with respect to s. */
  function attend() {
    const root_c = Math.sqrt(data.query.length);
    const scores = data.keys.map((key, j) => (data.query.reduce((sum, q, c) => sum + q * key[c], 0) + s[j]) / root_c);
    const most = Math.max(...scores);
    const raised = scores.map((score) => Math.exp(score - most));
    const total = raised.reduce((a, b) => a + b);
    const weights = raised.map((value) => value / total);
    const output = [0, 1].map((c) => weights.reduce((sum, p, j) => sum + p * data.values[j][c], 0));
    const away = output.map((value, c) => value - wanted[c]);
    const loss = away[0] ** 2 + away[1] ** 2;
    const gradient = weights.map((p, j) => (p / root_c) * [0, 1].reduce((sum, c) => sum + 2 * away[c] * (data.values[j][c] - output[c]), 0));
    return { weights, output, loss, gradient };
  }

  function show() {
    sliders.forEach((one, i) => one.set(s[i]));
    changed();
  }

  const changed = answers(root, async () => {
    const now = attend();
    drawPlane(now);
    drawDials(now);
    const push = now.gradient.map((slope) => -slope);
    const up = push.indexOf(Math.max(...push));
    const down = push.indexOf(Math.min(...push));
    const moves = Math.max(...push.map(Math.abs)) < 0.005 ? "The gradient is next to nothing: no saliency is pushed."
      : `Descent raises s of token ${up} (by a slope of ${two(push[up])}${s[up] >= 1 ? ", but it is at 1 already" : ""}): its value lies, seen from the output, where the loss wants to go. ` +
        `It lowers s of token ${down} (${two(push[down])}${s[down] <= -1 ? ", but it is at -1 already" : ""}).`;
    said.say(`Attention weights ${now.weights.map(two).join(", ")}. The output is at ${now.output.map(two).join(", ")}, ` +
      `wanted is ${wanted.map(two).join(", ")}: loss ${two(now.loss)}. ${moves}`);
    goal.setAttribute("aria-label", `wanted output, ${wanted[0].toFixed(2)} right, ${wanted[1].toFixed(2)} up`);
  });

  function drawPlane({ weights, output }) {
    const { x, y } = drawing;
    const [ox, oy] = [x(output[0]), y(output[1])];
    back.replaceChildren(
      make("polygon", { points: data.values.map(([a, b]) => `${x(a)},${y(b)}`).join(" "), fill: "#f3f3f3", stroke: "#ccc" }),
      ...NAMES.map((i) => make("line", {
        x1: ox, y1: oy, x2: x(data.values[i][0]), y2: y(data.values[i][1]), stroke: TONES[i], "stroke-width": 1 + 12 * weights[i], opacity: 0.55,
      })),
      make("line", { x1: ox, y1: oy, x2: x(wanted[0]), y2: y(wanted[1]), stroke: "#111", "stroke-width": 2, "stroke-dasharray": "3 4" }),
      ...NAMES.map((i) => make("g", { transform: `translate(${x(data.values[i][0])} ${y(data.values[i][1])})` }, shape(i, 11), label(i, 0, 31))),
      make("path", { d: `M${ox - 9} ${oy}H${ox + 9}M${ox} ${oy - 9}V${oy + 9}`, stroke: "#111", "stroke-width": 5 }));
    goal.setAttribute("transform", `translate(${x(wanted[0])} ${y(wanted[1])})`);
  }

  function drawDials({ weights, gradient }) {
    const y = (value) => 150 - 105 * value; // of s
    const parts = [-1, 0, 1].map((value) => make("text", { x: 26, y: y(value) + 5, "text-anchor": "end", "font-size": 15, fill: "#333" }, value));
    const largest = Math.max(0.6, ...gradient.map(Math.abs));
    NAMES.forEach((i) => {
      const middle = 90 + 120 * i;
      const push = -gradient[i];
      const tip = Math.max(12, Math.min(288, y(s[i]) - (90 * push) / largest));
      parts.push(
        ...[-1, 0, 1].map((value) => make("line", { x1: middle - 44, x2: middle - 16, y1: y(value), y2: y(value), stroke: COLOURS.grey })),
        make("line", { x1: middle + 6, x2: middle + 42, y1: y(-1), y2: y(-1), stroke: "#333" }),
        make("line", { x1: middle - 30, x2: middle - 30, y1: y(1), y2: y(-1), stroke: COLOURS.grey, "stroke-width": 2 }),
        make("g", { transform: `translate(${middle - 30} ${y(s[i])})` }, shape(i, 10)),
        make("rect", { x: middle + 12, width: 24, y: y(-1) - 210 * weights[i], height: 210 * weights[i], fill: "#bbb", stroke: "#333" }),
        make("text", { x: middle, y: 308, "text-anchor": "middle", "font-size": 15, fill: "#111", "font-weight": 600 }, `token ${i}`),
        make("text", { x: middle, y: 328, "text-anchor": "middle", "font-size": 15, fill: "#111" }, `s ${two(s[i])}`),
        make("text", { x: middle, y: 348, "text-anchor": "middle", "font-size": 15, fill: "#111" }, `weight ${two(weights[i])}`),
        make("text", { x: middle, y: 368, "text-anchor": "middle", "font-size": 15, fill: "#111" }, `push ${push < 0.005 ? "" : "+"}${two(push)}`));
      if (Math.abs(push) >= 0.005) parts.push(arrow(middle - 8, y(s[i]), middle - 8, tip, "#111", 3));
    });
    dials.replaceChildren(...parts);
    dials.setAttribute("aria-label", NAMES.map((i) => `token ${i}: s ${two(s[i])}, weight ${two(weights[i])}, push ${two(-gradient[i])}`).join("; "));
  }

  function drawStep() {
    const values = data.saliency[data.steps.indexOf(at.read())];
    map.pen.fillStyle = "#fff";
    map.pen.fillRect(0, 0, map.canvas.width, map.canvas.height);
    values.forEach((value, token) => {
      const [left, up] = corner(token);
      map.pen.fillStyle = tone(value);
      map.pen.fillRect(left, up, CELL, CELL);
    });
    if (data.actor) data.actor.forEach((here, token) => { if (here) outline(token); });
    const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
    const all = mean(values);
    const rows = [["saliency at this step", "mean"], ["all patches", two(all)]];
    let words = `Step ${at.read()}: saliency from ${two(Math.min(...values))} to ${two(Math.max(...values))}.`;
    if (data.actor) {
      const [actor, rest] = [1, 0].map((which) => mean(values.filter((_, token) => data.actor[token] === which)));
      const targets = top(values, GAMMA);
      const met = [...targets].filter((token) => data.actor[token]).length / data.actor.reduce((a, b) => a + b, 0);
      rows.push(["the actor's patches", two(actor)], ["the others", two(rest)], [`recall, if the most salient are targets, gamma ${GAMMA}`, percent(met)]);
      words += ` The actor's patches have ${two(actor)} on average, the others ${two(rest)}; ` +
        `if the sixth of highest saliency were targets, ${percent(met)} of the actor would be among them.`;
    }
    means.set(rows);
    saidOfStep.say(words);
    map.say(`saliency of ${frames} frame${frames > 1 ? "s" : ""}, dark is -1, light is 1. ${words}`);
    map.words.textContent = `saliency of ${frames > 1 ? `frames ${data.frames.join(", ")}` : "a frame"}: dark is -1, light is 1` +
      (data.actor ? "; the actor is outlined" : "");
  }

  function corner(token) {
    const [frame, i] = [Math.floor(token / (height * width)), token % (height * width)];
    return [frame * (width * CELL + 8) + (i % width) * CELL, Math.floor(i / width) * CELL];
  }

  /** The edges between an actor's patch and what is none. */
  function outline(token) {
    const [left, up] = corner(token);
    const i = token % (height * width);
    const [row, column] = [Math.floor(i / width), i % width];
    const none = (r, c) => r < 0 || c < 0 || r >= height || c >= width || !data.actor[token + (r - row) * width + c - column];
    for (const [colour, thick] of [["#fff", 5], [COLOURS.vermillion, 3]]) {
      map.pen.fillStyle = colour;
      const half = (thick - 1) / 2;
      if (none(row - 1, column)) map.pen.fillRect(left, up - half + 1, CELL, thick);
      if (none(row + 1, column)) map.pen.fillRect(left, up + CELL - half - 1, CELL, thick);
      if (none(row, column - 1)) map.pen.fillRect(left - half + 1, up, thick, CELL);
      if (none(row, column + 1)) map.pen.fillRect(left + CELL - half - 1, up, thick, CELL);
    }
  }

  drawStep();
  changed();
}

/** A circle, a square, a triangle: one for each token, around (0, 0). */
function shape(i, radius) {
  const look = { fill: TONES[i], stroke: "#111", "stroke-width": 1.5 };
  if (i === 0) return make("circle", { r: radius, ...look });
  if (i === 1) return make("rect", { x: -radius, y: -radius, width: 2 * radius, height: 2 * radius, ...look });
  return make("polygon", { points: `0,${-1.2 * radius} ${1.15 * radius},${0.9 * radius} ${-1.15 * radius},${0.9 * radius}`, ...look });
}

function label(i, x, y) {
  return make("text", { x, y, "text-anchor": "middle", "font-size": 15, fill: "#111" }, `value ${i}`);
}

/** The colour of a saliency. */
function tone(value) {
  const share = (value + 1) / 2;
  return `rgb(${LOW.map((low, c) => Math.round(low + share * (HIGH[c] - low))).join(" ")})`;
}

/** 0.705 -> "0.71", and 0 without a sign. */
function two(value) {
  return (Math.abs(value) < 0.005 ? 0 : value).toFixed(2);
}
