// What every explorer is made of: labelled controls, canvases, one line that says what happened, and merging that never
// stops the page. No explorer sends or fetches anything.

import { match, matchSteps } from "./merging.js";

export const ON_THE_PAGE = 1200; // tokens; more are merged in a worker, with progress

// Okabe and Ito's colours, as in every figure of the course.
export const COLOURS = {
  orange: "#E69F00", sky: "#56B4E9", green: "#009E73", yellow: "#F0E442",
  blue: "#0072B2", vermillion: "#D55E00", purple: "#CC79A7", grey: "#767676",
};

const STYLE = `
.vtm-explorer { font: 14px/1.45 system-ui, sans-serif; color: inherit; max-width: 60rem; margin: 0.5rem 0; }
.vtm-explorer * { box-sizing: border-box; }
.vtm-explorer .vtm-row { display: flex; flex-wrap: wrap; gap: 0.6rem 1.2rem; align-items: flex-start; margin: 0.5rem 0; }
.vtm-explorer .vtm-row > * { flex: 0 1 auto; min-width: 0; }
.vtm-explorer label { display: inline-flex; flex-wrap: wrap; align-items: center; gap: 0.1rem 0.5rem; }
.vtm-explorer output { min-width: 3.2em; font-variant-numeric: tabular-nums; font-weight: 600; }
.vtm-explorer input[type="range"] { width: 11rem; max-width: 60vw; height: 1.5rem; accent-color: #0072B2; }
.vtm-explorer select, .vtm-explorer button { font: inherit; color: inherit; min-height: 2rem; padding: 0.1rem 0.6rem;
  border: 1px solid #767676; border-radius: 4px; background: transparent; cursor: pointer; max-width: 100%; }
.vtm-explorer option { color: #111; background: #fff; }
.vtm-explorer :focus-visible { outline: 3px solid #56B4E9; outline-offset: 2px; }
.vtm-explorer svg :focus-visible { outline-color: #0072B2; }
.vtm-explorer figure { margin: 0; max-width: 100%; }
.vtm-explorer figcaption { font-size: 13px; margin-bottom: 0.2rem; }
.vtm-explorer canvas, .vtm-explorer svg { display: block; max-width: 100%; height: auto; background: #fff; }
.vtm-explorer canvas { image-rendering: pixelated; border: 1px solid #767676; }
.vtm-explorer svg { border: 1px solid #767676; color: #111; touch-action: none; }
.vtm-explorer table { border-collapse: collapse; margin: 0; font-variant-numeric: tabular-nums; color: inherit; }
.vtm-explorer th, .vtm-explorer td { padding: 0.15rem 0.6rem; text-align: right; border: 0;
  border-bottom: 1px solid #76767666; background: none; color: inherit; }
.vtm-explorer th:first-child { text-align: left; font-weight: 400; padding-left: 0; }
.vtm-explorer legend { font-size: inherit; width: auto; float: none; margin: 0; padding: 0 0.2rem; }
.vtm-explorer .scrolls { overflow-x: auto; max-width: 100%; }
.vtm-explorer .said { min-height: 2.9em; margin: 0.4rem 0; }
.vtm-explorer progress { width: 11rem; vertical-align: middle; }
`;

/** An element: make("p", {class: "said"}, "text", child). Attributes that start with "on" are listened to. */
export function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "circle", "rect", "path", "text", "polyline", "polygon", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  // What can have the focus keeps its keys: JupyterLab would take letters and arrows for its own commands.
  if (["input", "select", "button"].includes(tag) || "tabindex" in attributes) element.setAttribute("data-lm-suppress-shortcuts", "true");
  element.append(...children);
  return element;
}

/** The explorer's own box in `el`: with a name for screen readers, and its style. */
export function box(el, name, ...children) {
  const root = make("div", { class: "vtm-explorer", role: "group", "aria-label": name, "data-explorer": name },
    make("style", {}, STYLE), ...children);
  el.replaceChildren(root);
  return root;
}

/** A slider over `values`, or from min to max. `shown(value)` is what stands beside it and is read out. */
export function slider({ label, values, min, max, step = 1, value, shown = String, change }) {
  const listed = values !== undefined;
  const output = make("output");
  const input = make("input", { type: "range", "aria-label": label, ...(listed ? { min: 0, max: values.length - 1, step: 1 } : { min, max, step }) });
  const read = () => (listed ? values[Number(input.value)] : Number(input.value));
  const say = () => {
    output.textContent = shown(read());
    input.setAttribute("aria-valuetext", shown(read()));
  };
  const set = (next) => {
    input.value = listed ? Math.max(0, values.indexOf(next)) : next;
    say();
  };
  input.addEventListener("input", () => { say(); change(read()); });
  set(value);
  const part = make("label", {}, make("span", {}, label), input, output);
  return Object.assign(part, { read, set, input });
}

/** A list to choose from: options are [value, words]. */
export function choice({ label, options, value, change }) {
  const input = make("select", { "aria-label": label, onchange: () => change(input.value) },
    ...options.map(([key, words]) => make("option", { value: key, selected: key === value }, words)));
  return Object.assign(make("label", {}, make("span", {}, label), input), { read: () => input.value, input });
}

/** A button. */
export function button(words, press) {
  return make("button", { type: "button", onclick: press }, words);
}

/** A canvas of width x height numbers of pixels, shown `scale` times as large, under a caption; `alt` is set with say(). */
export function picture(caption, width, height, scale = 1, attributes = {}) {
  const canvas = make("canvas", { role: "img", "aria-label": caption, width, height, style: `width: ${width * scale}px`, ...attributes });
  const words = make("figcaption", {}, caption);
  const part = make("figure", {}, words, canvas);
  const say = (alt) => canvas.setAttribute("aria-label", alt);
  return Object.assign(part, { canvas, words, say, pen: canvas.getContext("2d", { willReadFrequently: true }) });
}

/** A square SVG for the plane from -extent to extent, y upwards: x(value) and y(value) give pixels, at(event) the place. */
export function plane(name, size, extent) {
  const svg = make("svg", { viewBox: `0 0 ${size} ${size}`, width: size, role: "group", "aria-label": name, style: "touch-action: auto" });
  const x = (value) => ((value / extent + 1) * size) / 2;
  const y = (value) => ((1 - value / extent) * size) / 2;
  const at = (event) => {
    const rect = svg.getBoundingClientRect();
    return [(((event.clientX - rect.left) / rect.width) * 2 - 1) * extent, (1 - ((event.clientY - rect.top) / rect.height) * 2) * extent];
  };
  return { svg, x, y, at, extent };
}

/**
 * A point of a plane that is dragged, or moved with the arrow keys (with Shift in small steps). `shape` are SVG elements
 * around (0, 0); read() gives where it is, move(x, y) is told where to; chosen() is called when it is touched or focused.
 */
export function handle({ plane: { at, extent }, shape, read, move, chosen = () => {} }) {
  const part = make("g", { tabindex: 0, role: "application", style: "cursor: grab; touch-action: none" }, ...shape);
  const go = (x, y) => {
    const kept = [x, y].map((value) => Math.round(100 * Math.max(-extent, Math.min(extent, value))) / 100);
    move(...kept);
  };
  part.addEventListener("focus", chosen);
  part.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    part.setPointerCapture(event.pointerId);
    part.focus({ focusVisible: false });
    chosen();
  });
  part.addEventListener("pointermove", (event) => { if (part.hasPointerCapture(event.pointerId)) go(...at(event)); });
  part.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const step = event.shiftKey ? 0.01 : 0.1;
    go(read()[0] + way[0] * step, read()[1] + way[1] * step);
  });
  return part;
}

/** An arrow from (x1, y1) to (x2, y2) in pixels; only its line where it is shorter than its head. */
export function arrow(x1, y1, x2, y2, colour, width = 2, dash = undefined) {
  const length = Math.hypot(x2 - x1, y2 - y1);
  const head = 4 + 2 * width;
  if (length < head) return make("line", { x1, y1, x2, y2, stroke: colour, "stroke-width": width });
  const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
  const [bx, by] = [x2 - head * dx, y2 - head * dy];
  const corner = (side) => `${bx - side * 0.45 * head * dy},${by + side * 0.45 * head * dx}`;
  return make("g", {},
    make("line", { x1, y1, x2: bx, y2: by, stroke: colour, "stroke-width": width, "stroke-dasharray": dash }),
    make("polygon", { points: `${x2},${y2} ${corner(1)} ${corner(-1)}`, fill: colour }));
}

/** A table of numbers: `rows` are [words, number, ...]; the first row is the heading. Returns the part, with set(rows). */
export function ledger(caption) {
  const table = make("table", {});
  const part = make("div", { class: "scrolls", role: "region", tabindex: 0, "aria-label": caption }, table);
  part.set = ([heading, ...rows]) => {
    const cells = (kind, row, scope) => row.map((one, i) => make(i ? kind : "th", i ? (scope ? { scope } : {}) : { scope: scope || "row" }, one));
    table.replaceChildren(make("thead", {}, make("tr", {}, ...cells("th", heading, "col"))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells("td", row)))));
  };
  return part;
}

/** The line that says what is seen, in words; screen readers hear it once nothing has moved for half a second. */
export function sentence() {
  const part = make("p", { class: "said" });
  const heard = make("p", { role: "status", "aria-live": "polite",
    style: "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)" });
  let waiting;
  const whole = make("div", {}, part, heard);
  whole.say = (words) => {
    part.textContent = words;
    clearTimeout(waiting);
    waiting = setTimeout(() => { heard.textContent = words; }, 500);
  };
  return whole;
}

/**
 * Runs `answer` after every change: the newest change only, and never two at once. How long the last answer took stands
 * in the box's data-milliseconds, and how many there were in data-answers.
 */
export function answers(root, answer) {
  let wanted = false;
  let busy = false;
  return async function changed() {
    wanted = true;
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      const started = performance.now();
      root.setAttribute("aria-busy", "true");
      const done = await answer(() => wanted); // false: given up, as something newer is wanted
      if (done === false) continue;
      root.dataset.milliseconds = (performance.now() - started).toFixed(1);
      root.dataset.answers = Number(root.dataset.answers || 0) + 1;
    }
    root.removeAttribute("aria-busy");
    busy = false;
  };
}

/** Merging that leaves the page free: small films at once, large ones in a worker whose progress is shown in `place`. */
export function merger() {
  const bar = make("progress", { max: 1, value: 0, "aria-label": "merging" });
  const place = make("span", { hidden: true }, "merging ", bar);
  let worker;
  let number = 0;
  let refused = typeof Worker === "undefined" || typeof VTM_WORKER === "undefined";

  function inWorker(job, stale) {
    if (worker === undefined) worker = new Worker(URL.createObjectURL(new Blob([VTM_WORKER], { type: "text/javascript" })));
    const mine = ++number;
    return new Promise((resolve, reject) => {
      worker.onerror = (event) => { event.preventDefault(); reject(new Error("no worker")); };
      worker.onmessage = ({ data }) => {
        if (data.number !== mine) return;
        if (data.merge) resolve(data.merge);
        else if (stale()) { stop(); resolve(null); }
        else bar.value = data.done;
      };
      worker.postMessage({ ...job, number: mine });
    });
  }

  async function inSlices(job, stale) {
    const steps = matchSteps(job.keys, job.n, job.dim, job.targets, job.nMerge);
    for (;;) {
      const step = steps.next();
      if (step.done) return step.value;
      bar.value = step.value;
      await new Promise((resolve) => setTimeout(resolve));
      if (stale()) return null;
    }
  }

  function stop() {
    if (worker !== undefined) worker.terminate();
    worker = undefined;
  }

  /** The merge; null if it was given up because `stale()` became true. */
  async function merge(keys, n, dim, targets, nMerge = n - targets.length, stale = () => false) {
    if (n <= ON_THE_PAGE) return match(keys, n, dim, targets, nMerge);
    const job = { keys, n, dim, targets, nMerge };
    bar.value = 0;
    place.hidden = false;
    try {
      if (!refused) {
        try {
          return await inWorker(job, stale);
        } catch {
          refused = true; // pages may forbid workers
          stop();
        }
      }
      return await inSlices(job, stale);
    } finally {
      place.hidden = true;
    }
  }

  return { merge, place, stop };
}

/** 11760 -> "11,760"; 0.4213 -> "0.421". */
export function number(value) {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(3)).toString();
}

/** 0.4213 -> "42%". */
export function percent(share) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(share < 0.1 && share > 0 ? 1 : 0)}%` : "–";
}

/** An image from a data URI, once it is there. */
export async function loaded(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}

/** Frames that stand one below the other in one picture, as ImageData. */
export function cut(image, frames, height, width) {
  const canvas = make("canvas", { width, height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  return Array.from({ length: frames }, (_, f) => {
    pen.drawImage(image, 0, -f * height);
    return pen.getImageData(0, 0, width, height);
  });
}

/**
 * Keys of a film's patches, 48 numbers each: the 4 x 4 means of 2 x 2 pixels, in three colours, less those of the film's
 * average patch. `side`: pixels of a patch, 8. The same as `film_keys` in film.py.
 */
export function patchKeys(pictures, side) {
  const cells = side / 2;
  const dim = 3 * cells * cells;
  const [width, height] = [Math.floor(pictures[0].width / side), Math.floor(pictures[0].height / side)];
  const n = pictures.length * height * width;
  const keys = new Float64Array(n * dim);
  pictures.forEach((one, frame) => {
    for (let y = 0; y < height * side; y++) for (let x = 0; x < width * side; x++) {
      const token = (frame * height + Math.floor(y / side)) * width + Math.floor(x / side);
      const cell = token * dim + 3 * (Math.floor((y % side) / 2) * cells + Math.floor((x % side) / 2));
      for (let c = 0; c < 3; c++) keys[cell + c] += one.data[4 * (y * one.width + x) + c] / 4;
    }
  });
  const average = new Float64Array(dim);
  for (let i = 0; i < keys.length; i++) average[i % dim] += keys[i] / n;
  for (let i = 0; i < keys.length; i++) keys[i] -= average[i % dim];
  return keys;
}

/** Numbers from 0 to 255, one a token, that came as text. */
export function bytes(text) {
  return text ? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)) : undefined;
}
