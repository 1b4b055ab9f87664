// The film explorer: a film, and beside it the same film drawn from its merged tokens. See film.py.

import { averages, nMerged, nTargets, region, sample, seeded, sizes, uniform } from "./merging.js";
import { COLOURS, answers, box, button, bytes, choice, cut, ledger, loaded, make, merger, number, patchKeys, percent, picture, sentence, slider } from "./parts.js";

const PATCH = 8; // pixels of the film as it is here
const DIM = 48; // of a key, see `patchKeys`
const GAMMAS = [1, 2, 3, 4, 6, 10, 20, 50, 100, 196];
const OWN_FRAMES = 40; // of a film that the reader brings
const OWN_SIDE = 112; // its shorter side

export function explore(el, data) {
  const merging = merger();
  let film = null; // {frames, height, width, pixels, keys, motion, motionName, actor}, see `filmOf`
  let merge = null; // what `match` returned, with targets
  let merged = null; // pixels of the film drawn from its merged tokens
  let chosen = null; // the token whose group is shown
  let playing = 0;

  const left = picture("the film", 8, 8, 2, { tabindex: 0, role: "application", "aria-roledescription": "patches" });
  const right = picture("merged", 8, 8, 2);
  const all = picture("every frame; patches of the chosen group are black", 8, 8, 1);
  const gammas = [...new Set([...GAMMAS, data.gamma])].sort((a, b) => a - b);
  const gamma = slider({ label: "gamma", values: gammas, value: data.gamma, change: () => changed() });
  const share = slider({ label: "R / |S|, share of the sources merged", min: 0, max: 1, step: 0.05, value: 1, shown: (r) => r.toFixed(2), change: () => changed() });
  const offset = slider({ label: "offset", min: 0, max: 30, value: 0, change: () => changed() });
  const frame = slider({ label: "frame", min: 0, max: 1, value: 0, change: () => draw() });
  const play = button("play", () => (playing ? pause() : start()));
  const partition = choice({
    label: "targets", value: data.partition,
    options: [["uniform", "every gamma-th token"], ["staggered", "one in every run of gamma, staggered"], ["centre", "centre"],
      ["boundary", "boundary"], ["random", "drawn at random"], ["motion", "drawn by motion"]],
    change: () => changed(),
  });
  const counts = ledger("what is left");
  const said = sentence();
  const file = make("input", { type: "file", accept: "video/*", onchange: () => file.files[0] && bring(file.files[0]) });
  const bringing = make("span", { hidden: true });
  const own = make("label", {}, make("span", {}, "your own film (it stays on this machine)"), file);
  const root = box(el, "film explorer",
    make("div", { class: "vtm-row" }, partition, gamma, share, offset),
    make("div", { class: "vtm-row" }, left, right, counts),
    make("div", { class: "vtm-row" }, play, frame, merging.place),
    said,
    make("div", { class: "vtm-row" }, all),
    make("div", { class: "vtm-row" }, own, bringing));
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    const dropped = [...event.dataTransfer.files].find((one) => one.type.startsWith("video/"));
    if (dropped) bring(dropped);
  });

  function targets() {
    const n = film.frames * film.height * film.width;
    const random = seeded(1 + offset.read());
    switch (partition.read()) {
      case "staggered": return uniform(n, gamma.read(), offset.read(), true);
      case "centre": case "boundary": return region(film.frames, film.height, film.width, gamma.read(), partition.read(), offset.read());
      case "random": return sample(new Float64Array(n), gamma.read(), random);
      case "motion": return sample(film.motion, gamma.read(), random);
      default: return uniform(n, gamma.read(), offset.read());
    }
  }

  const changed = answers(root, async (stale) => {
    const n = film.frames * film.height * film.width;
    const picked = targets();
    const found = await merging.merge(film.keys, n, DIM, picked, nMerged(n, gamma.read(), share.read()), stale);
    if (found === null) return false;
    merge = { ...found, targets: picked };
    merged = repainted(film, merge);
    draw();
    return true;
  });

  function draw() {
    if (merge === null) return;
    const at = frame.read();
    const { width, height } = film;
    for (const [part, pixels] of [[left, film.pixels], [right, merged]]) {
      const size = 4 * width * PATCH * height * PATCH;
      part.pen.putImageData(new ImageData(pixels.slice(at * size, (at + 1) * size), width * PATCH, height * PATCH), 0, 0);
    }
    const group = merge.group[chosen];
    if (film.actor) outline(left.pen, film, at, (token) => film.actor[token] > 0, "#fff");
    outline(left.pen, film, at, (token) => merge.group[token] === group, COLOURS.yellow);
    ring(left.pen, film, at, chosen);
    drawAll(group);
    const n = film.frames * height * width;
    const left_over = merge.keep.length;
    const size = sizes(merge.group, left_over);
    let frames = 0;
    for (let f = 0; f < film.frames; f++) {
      for (let i = 0; i < width * height; i++) if (merge.group[f * width * height + i] === group) { frames++; break; }
    }
    const [row, column] = [Math.floor((chosen % (width * height)) / width), chosen % width];
    right.words.textContent = `drawn from ${number(left_over)} of ${number(n)} tokens`;
    const error = errors(film, merged);
    const rows = [["", "before", "after"], ["tokens", number(n), number(left_over)],
      ["attention scores of a head", number(n * n), number(left_over * left_over)],
      ["largest group", "1", number(Math.max(...size))], ["error of the picture, levels of 255", "0", number(error.all)]];
    if (film.actor) {
      const recall = recalled(film.actor, merge.targets);
      rows.push(["error on the actor's patches", "0", number(error.actor)], ["recall, actor's patches that are targets", "–", percent(recall)]);
    }
    counts.set(rows);
    const words = `Patch at row ${row}, column ${column} of frame ${Math.floor(chosen / (width * height))}: its group has ` +
      `${number(size[group])} patch${size[group] === 1 ? "" : "es"} in ${number(frames)} of ${number(film.frames)} frames. ` +
      `${number(n)} tokens became ${number(left_over)}.` + (partition.read() === "motion" ? ` Motion is ${film.motionName}.` : "");
    said.say(words);
    left.say(`frame ${at} of the film; arrow keys choose a patch. ${words}`);
    right.say(`frame ${at}, every patch replaced by the average of its group`);
  }

  function drawAll(group) {
    const { width, height, frames } = film;
    const [w, h] = [width * 3 + 2, height * 3 + 2]; // a patch is 3 pixels
    const columns = Math.min(frames, Math.max(1, Math.floor(560 / w)));
    all.canvas.width = columns * w;
    all.canvas.height = Math.ceil(frames / columns) * h;
    all.canvas.style.width = `${columns * w}px`;
    const pen = all.pen;
    let met = 0;
    for (let token = 0; token < frames * height * width; token++) {
      const f = Math.floor(token / (width * height));
      const i = token % (width * height);
      const [x, y] = [(f % columns) * w + (i % width) * 3, Math.floor(f / columns) * h + Math.floor(i / width) * 3];
      const mine = merge.group[token] === group;
      met += mine;
      pen.fillStyle = mine ? "#000" : film.faded[token];
      pen.fillRect(x, y, 3, 3);
    }
    all.say(`all ${frames} frames, small; ${met} patches of the chosen group are black`);
  }

  function choose(token) {
    chosen = token;
    draw();
  }

  left.canvas.addEventListener("click", (event) => {
    const rect = left.canvas.getBoundingClientRect();
    const column = Math.min(film.width - 1, Math.floor(((event.clientX - rect.left) / rect.width) * film.width));
    const row = Math.min(film.height - 1, Math.floor(((event.clientY - rect.top) / rect.height) * film.height));
    pause();
    choose((frame.read() * film.height + row) * film.width + column);
  });
  left.canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const i = chosen % (film.width * film.height);
    const row = Math.min(film.height - 1, Math.max(0, Math.floor(i / film.width) + step[0]));
    const column = Math.min(film.width - 1, Math.max(0, (i % film.width) + step[1]));
    choose((frame.read() * film.height + row) * film.width + column);
  });

  function start() {
    play.textContent = "pause";
    playing = setInterval(() => {
      if (!root.isConnected) return pause();
      frame.set((frame.read() + 1) % film.frames);
      return draw();
    }, 1000 / (data.fps || 8));
  }

  function pause() {
    clearInterval(playing);
    playing = 0;
    play.textContent = "play";
  }

  function show(next, at) {
    film = next;
    merge = null;
    left.words.textContent = film.actor ? "the film; the actor in white" : "the film";
    for (const part of [left, right]) {
      part.canvas.width = film.width * PATCH;
      part.canvas.height = film.height * PATCH;
      part.canvas.style.width = `${film.width * PATCH * 2}px`;
    }
    frame.input.max = film.frames - 1;
    frame.set(Math.min(at, film.frames - 1));
    const place = film.width * film.height;
    const first = film.actor ? film.actor.subarray(frame.read() * place, (frame.read() + 1) * place).indexOf(255) : -1;
    chosen = frame.read() * place + (first < 0 ? Math.floor((film.height / 2 + 0.5) * film.width) : first);
    return changed();
  }

  async function bring(chosenFile) {
    pause();
    bringing.hidden = false;
    try {
      const pictures = await decoded(chosenFile, (done) => { bringing.textContent = `reading ${chosenFile.name}: ${percent(done)}`; });
      bringing.hidden = true;
      await show(filmOf(pictures), 0);
    } catch {
      bringing.textContent = `${chosenFile.name} cannot be shown: this browser does not decode it. An mp4 with H.264 will do.`;
    }
  }

  loaded(data.picture).then((image) => {
    const pictures = cut(image, data.frames, data.height * PATCH, data.width * PATCH);
    return show(filmOf(pictures, bytes(data.motion), data.motion_scale, data.motion_name, bytes(data.actor)), data.frame);
  });
  return () => { pause(); merging.stop(); };
}

/** Frames (ImageData, of one size) with their keys; without motion given, it is the frame difference. */
function filmOf(pictures, motion, scale, motionName, actor) {
  const [width, height] = [Math.floor(pictures[0].width / PATCH), Math.floor(pictures[0].height / PATCH)];
  const frames = pictures.length;
  const n = frames * width * height;
  const pixels = new Uint8ClampedArray(frames * 4 * width * PATCH * height * PATCH);
  pictures.forEach((one, f) => pixels.set(one.data, f * one.data.length));
  const keys = patchKeys(pictures, PATCH);
  const faded = new Array(n);
  for (let token = 0; token < n; token++) {
    const mean = [0, 0, 0];
    forPixels(token, width, height, (at) => { for (let c = 0; c < 3; c++) mean[c] += pixels[at + c] / (PATCH * PATCH); });
    faded[token] = `rgb(${mean.map((value) => Math.round(0.4 * value + 0.6 * 255)).join(" ")})`;
  }
  const difference = new Float64Array(n);
  const place = width * height;
  for (let token = place; token < n; token++) {
    for (let c = 0; c < DIM; c++) difference[token] += Math.abs(keys[token * DIM + c] - keys[(token - place) * DIM + c]) / DIM / 8;
  }
  return {
    frames, width, height, pixels, keys, faded, actor,
    motion: motion ? Float64Array.from(motion, (value) => value * scale) : difference,
    motionName: motion ? motionName : "the difference between frames, as browsers give no motion vectors",
  };
}

/** Calls with the place of every pixel of a patch in `pixels`. */
function forPixels(token, width, height, call) {
  const frame = Math.floor(token / (width * height));
  const [row, column] = [Math.floor((token % (width * height)) / width), token % width];
  for (let y = 0; y < PATCH; y++) {
    const line = ((frame * height + row) * PATCH + y) * width * PATCH + column * PATCH;
    for (let x = 0; x < PATCH; x++) call(4 * (line + x));
  }
}

/** The film's pixels, every patch replaced by its group's average picture. */
function repainted(film, merge) {
  const { width, height, pixels } = film;
  const size = 3 * PATCH * PATCH;
  const flat = new Uint8ClampedArray(merge.group.length * size);
  for (let token = 0; token < merge.group.length; token++) {
    let i = token * size;
    forPixels(token, width, height, (at) => { for (let c = 0; c < 3; c++) flat[i++] = pixels[at + c]; });
  }
  const mean = averages(flat, size, merge.group, merge.keep.length);
  const painted = new Uint8ClampedArray(pixels.length).fill(255);
  for (let token = 0; token < merge.group.length; token++) {
    let i = merge.group[token] * size;
    forPixels(token, width, height, (at) => { for (let c = 0; c < 3; c++) painted[at + c] = mean[i++]; });
  }
  return painted;
}

/** Mean difference of the two films, in levels of 255: on all patches, and on those of the actor. */
function errors(film, merged) {
  const sum = { all: 0, actor: 0 };
  const count = { all: 0, actor: 0 };
  for (let token = 0; token < film.frames * film.width * film.height; token++) {
    let here = 0;
    forPixels(token, film.width, film.height, (at) => {
      for (let c = 0; c < 3; c++) here += Math.abs(film.pixels[at + c] - merged[at + c]) / (3 * PATCH * PATCH);
    });
    for (const which of film.actor && film.actor[token] ? ["all", "actor"] : ["all"]) {
      sum[which] += here;
      count[which] += 1;
    }
  }
  return { all: sum.all / count.all, actor: sum.actor / count.actor };
}

function recalled(actor, targets) {
  let met = 0;
  let shown = 0;
  for (const value of actor) shown += value > 0;
  for (const token of targets) met += actor[token] > 0;
  return met / shown;
}

/** The edges of the patches of a frame for which `inside` is true. */
function outline(pen, film, frame, inside, inner) {
  const { width, height } = film;
  const token = (row, column) => (row < 0 || column < 0 || row >= height || column >= width ? -1 : (frame * height + row) * width + column);
  for (const [colour, thick] of [["#000", 3], [inner, 1]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thick;
    pen.beginPath();
    for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) {
      if (!inside(token(row, column))) continue;
      const [x, y] = [column * PATCH, row * PATCH];
      const edge = (other, x1, y1, x2, y2) => { if (other < 0 || !inside(other)) { pen.moveTo(x1, y1); pen.lineTo(x2, y2); } };
      edge(token(row - 1, column), x, y, x + PATCH, y);
      edge(token(row + 1, column), x, y + PATCH, x + PATCH, y + PATCH);
      edge(token(row, column - 1), x, y, x, y + PATCH);
      edge(token(row, column + 1), x + PATCH, y, x + PATCH, y + PATCH);
    }
    pen.stroke();
  }
}

/** A ring in the chosen patch, if it is of this frame. */
function ring(pen, { width, height }, frame, chosen) {
  if (Math.floor(chosen / (width * height)) !== frame) return;
  const i = chosen % (width * height);
  pen.strokeStyle = COLOURS.vermillion;
  pen.lineWidth = 1.5;
  pen.strokeRect((i % width) * PATCH + 1.5, Math.floor(i / width) * PATCH + 1.5, PATCH - 3, PATCH - 3);
}

/** Frames taken evenly from a file that the browser can play, small, as ImageData. Nothing leaves the page. */
async function decoded(file, progress) {
  const video = make("video", { muted: true, playsinline: true, preload: "auto" });
  const address = URL.createObjectURL(file);
  const waited = (name) => new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", () => reject(new Error("not decoded")), { once: true });
  });
  try {
    const ready = waited("loadeddata");
    video.src = address;
    await ready;
    const scale = OWN_SIDE / Math.min(video.videoWidth, video.videoHeight);
    const sides = [video.videoWidth, video.videoHeight].map((side) => Math.min(3 * OWN_SIDE, PATCH * Math.round((side * scale) / PATCH)));
    const canvas = make("canvas", { width: sides[0], height: sides[1] });
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const found = [];
    for (let f = 0; f < OWN_FRAMES; f++) {
      const seeked = waited("seeked");
      video.currentTime = (video.duration * (f + 0.5)) / OWN_FRAMES;
      await seeked;
      pen.drawImage(video, 0, 0, sides[0], sides[1]);
      found.push(pen.getImageData(0, 0, sides[0], sides[1]));
      progress((f + 1) / OWN_FRAMES);
    }
    return found;
  } finally {
    URL.revokeObjectURL(address);
  }
}
