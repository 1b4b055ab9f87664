// The target painter: where targets fall in a film, and what that does to the actor's weight in the mean. See painter.py.

import { averages, region, sample, seeded, top, uniform } from "./merging.js";
import { COLOURS, answers, box, bytes, choice, cut, ledger, loaded, make, merger, number, patchKeys, percent, picture, sentence, slider } from "./parts.js";

const SIDE = 8; // pixels of a patch

export function explore(el, data) {
  const { frames, height, width } = data;
  const place = height * width;
  const n = frames * place;
  const merging = merger();
  const kinds = {};
  let now = null; // {targets, merge}
  const painted = new Set(); // places of the frame that the reader marked

  const film = picture("one frame; circles are targets", width * SIDE, height * SIDE, 3);
  const often = picture("how often each place of the frame is a target", width * 24, height * 24, 1,
    { tabindex: 0, role: "application", "aria-roledescription": "places" });
  const kind = choice({ label: "film", value: data.kind, options: Object.keys(data.films).map((name) => [name, name]), change: () => changed() });
  const partition = choice({
    label: "targets", value: data.partition,
    options: [["uniform", "every gamma-th token"], ["staggered", "one in every run of gamma, staggered"], ["centre", "centre"], ["boundary", "boundary"],
      ["motion", "drawn by motion"], ["random", "drawn at random"], ["oracle", "the actor first (oracle)"], ["painted", "the places I mark first"]],
    change: () => changed(),
  });
  const gamma = slider({ label: "gamma", min: 2, max: 25, value: data.gamma, change: () => changed() });
  const offset = slider({ label: "offset", min: 0, max: 24, value: 0, change: () => changed() });
  const frame = slider({ label: "frame", min: 0, max: frames - 1, value: Math.floor(frames / 2), change: () => draw() });
  const counts = ledger("the actor's share");
  const said = sentence();
  const root = box(el, "target painter",
    make("div", { class: "vtm-row" }, kind, partition),
    make("div", { class: "vtm-row" }, gamma, offset, frame, merging.place),
    make("div", { class: "vtm-row" }, film, often, counts),
    said);

  function targets(here) {
    const random = seeded(1 + offset.read());
    const first = (score) => top(Float64Array.from(score, (value) => 1e3 * value + random()), gamma.read());
    switch (partition.read()) {
      case "staggered": return uniform(n, gamma.read(), offset.read(), true);
      case "centre": case "boundary": return region(frames, height, width, gamma.read(), partition.read(), offset.read());
      case "random": return sample(new Float64Array(n), gamma.read(), random);
      case "motion": return sample(here.motion, gamma.read(), random);
      case "oracle": return first(here.actor);
      case "painted": return first(Array.from({ length: n }, (_, i) => Number(painted.has(i % place))));
      default: return uniform(n, gamma.read(), offset.read());
    }
  }

  const changed = answers(root, async (stale) => {
    const name = kind.read();
    if (!kinds[name]) kinds[name] = await prepared(data.films[name], frames, height, width);
    const here = kinds[name];
    const picked = targets(here);
    const merge = await merging.merge(here.keys, n, 48, picked, n - picked.length, stale);
    if (merge === null) return false;
    now = { here, targets: picked, merge };
    draw();
    return true;
  });

  function draw() {
    if (now === null) return;
    const { here, merge } = now;
    const at = frame.read();
    const inFrame = new Set([...now.targets].filter((token) => Math.floor(token / place) === at).map((token) => token % place));
    film.pen.putImageData(here.pictures[at], 0, 0);
    film.pen.globalAlpha = 1;
    for (const i of inFrame) {
      film.pen.beginPath();
      film.pen.arc((i % width + 0.5) * SIDE, (Math.floor(i / width) + 0.5) * SIDE, 2.2, 0, 7);
      film.pen.fillStyle = "#fff";
      film.pen.fill();
      film.pen.strokeStyle = "#000";
      film.pen.stroke();
    }
    film.say(`frame ${at}: ${inFrame.size} of its ${place} patches are targets`);

    const count = new Int32Array(place);
    for (const token of now.targets) count[token % place]++;
    const most = Math.max(...count);
    const pen = often.pen;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.font = "12px sans-serif";
    for (let i = 0; i < place; i++) {
      const share = count[i] / frames;
      const [x, y] = [(i % width) * 24, Math.floor(i / width) * 24];
      const level = Math.round(255 - 215 * share);
      pen.fillStyle = `rgb(${level} ${Math.round(255 - 140 * share)} ${Math.round(255 - 77 * share)})`;
      pen.fillRect(x, y, 24, 24);
      pen.strokeStyle = painted.has(i) ? COLOURS.vermillion : "#cccccc";
      pen.lineWidth = painted.has(i) ? 3 : 1;
      pen.strokeRect(x + 0.5 + (painted.has(i) ? 1 : 0), y + 0.5 + (painted.has(i) ? 1 : 0), 23 - (painted.has(i) ? 2 : 0), 23 - (painted.has(i) ? 2 : 0));
      pen.fillStyle = share > 0.6 ? "#fff" : "#111";
      if (count[i]) pen.fillText(String(count[i]), x + 12, y + 12.5);
    }
    if (document.activeElement === often.canvas) {
      pen.strokeStyle = "#000";
      pen.lineWidth = 3;
      pen.strokeRect((cursor % width) * 24 + 1.5, Math.floor(cursor / width) * 24 + 1.5, 21, 21);
    }
    const never = count.filter((value) => value === 0).length;

    const actor = Float64Array.from(here.actor, (value) => Number(value > 0));
    const share = averages(actor, 1, merge.group, merge.keep.length);
    const sum = (values) => values.reduce((total, value) => total + value, 0);
    const inAll = sum(actor) / n;
    const inTargets = sum(Array.from(now.targets, (token) => actor[token])) / now.targets.length;
    const inMean = sum(share) / share.length;
    const inCentre = sum(Array.from(now.targets, (token) => here.centre[token % place])) / now.targets.length;
    counts.set([["", "actor", "centre"],
      ["share of all tokens", percent(inAll), percent(sum(here.centre) / place)],
      ["share of the targets", percent(inTargets), percent(inCentre)],
      ["weight in the mean of merged tokens", percent(inMean), percent(sum(averages(Float64Array.from({ length: n }, (_, i) => here.centre[i % place]), 1, merge.group, merge.keep.length)) / share.length)],
      ["recall, actor's patches that are targets", percent((inTargets * now.targets.length) / sum(actor)), ""]]);
    const comb = never === 0 ? "Every place of the frame is a target at some time."
      : `${never} of the ${place} places are never a target, in no frame` + (most === frames && never >= place / 2 ? `; others are in all ${frames}: a comb.` : ".");
    const words = `${number(n)} tokens, ${number(now.targets.length)} targets. ${comb} The actor has ${percent(inAll)} of the tokens, ` +
      `${percent(inTargets)} of the targets, and ${percent(inMean)} of the mean.`;
    said.say(words + (partition.read() === "painted" ? " Mark places in the right picture: click, or arrow keys and Enter." : ""));
    often.say(`${place} places of the frame, ${words}`);
  }

  let cursor = 0;
  function mark(i) {
    cursor = i;
    if (!painted.delete(i)) painted.add(i);
    partition.input.value = "painted";
    changed();
  }
  often.canvas.addEventListener("click", (event) => {
    const rect = often.canvas.getBoundingClientRect();
    const column = Math.min(width - 1, Math.floor(((event.clientX - rect.left) / rect.width) * width));
    mark(Math.min(height - 1, Math.floor(((event.clientY - rect.top) / rect.height) * height)) * width + column);
  });
  often.canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") mark(cursor);
    else {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.key];
      if (!step) return;
      cursor = Math.min(place - 1, Math.max(0, cursor + step));
      draw();
    }
    event.preventDefault();
  });
  often.canvas.addEventListener("focus", draw);
  often.canvas.addEventListener("blur", draw);
  changed();
  return merging.stop;
}

/** A film's pictures, its keys, its actor, motion and centre. */
async function prepared(film, frames, height, width) {
  const pictures = cut(await loaded(film.picture), frames, height * SIDE, width * SIDE);
  const motion = Float64Array.from(bytes(film.motion), (value) => value * film.motion_scale);
  return { pictures, keys: patchKeys(pictures, SIDE), motion, actor: bytes(film.actor), centre: bytes(film.centre) };
}
