// The matching explorer: keys in the plane that are dragged, and who then merges with whom. See keys.py.

import { match, nMerged, uniform } from "./merging.js";
import { COLOURS, answers, arrow, box, button, handle, ledger, make, plane, sentence, slider } from "./parts.js";

const DARK = "#111";
const SIZE = 390; // pixels

export function explore(el, data) {
  const n = data.keys.length;
  const keys = data.keys.map((key) => [...key]);
  let chosen = 0;
  let last = null; // what the last move of a key was
  let merge = null;

  const drawing = plane("the keys: targets are black squares, sources are blue circles; arrow keys move one", SIZE, data.extent);
  const circle = plane("the unit circle with every key's direction on it", 260, 1.8);
  const back = make("g"); // under the handles: what is drawn anew after every change
  const ring = make("circle", { r: 19, fill: "none", stroke: DARK, "stroke-width": 2, "stroke-dasharray": "4 3", "aria-hidden": "true" });
  const points = keys.map((_, i) => handle({
    plane: drawing, shape: [], read: () => keys[i],
    move: (x, y) => moved(i, [x, y]),
    chosen: () => { if (chosen !== i) { chosen = i; set(); } },
  }));
  drawing.svg.append(back, ...points, ring);

  const gamma = slider({ label: "gamma", min: 1, max: Math.min(n, 6), value: data.gamma, change: () => set() });
  if (data.gamma > 6) { gamma.input.max = n; gamma.set(data.gamma); }
  const offset = slider({ label: "offset", min: 0, max: n - 1, value: data.offset, change: () => set() });
  const shares = [...new Set([...Array.from({ length: 21 }, (_, i) => i / 20), data.share])].sort((a, b) => a - b);
  const share = slider({
    label: "R / |S|", values: shares, value: data.share,
    shown: (r) => `${r.toFixed(2)}: R = ${nMerged(n, gamma.read(), r)}`, change: () => set(),
  });
  const table = ledger("the chosen key's cosines");
  const said = sentence();
  const zero = button("make the chosen key zero", () => moved(chosen, [0, 0]));
  const copy = button("make it a copy of its neighbour", () => {
    const next = chosen + 1 < n ? chosen + 1 : chosen - 1;
    moved(chosen, [...keys[next]], `Key ${chosen} is a copy of key ${next} now.`);
  });
  const longer = button("make it longer", () => {
    const factor = Math.min(1.5, ...keys[chosen].map((value) => (value ? data.extent / Math.abs(value) : Infinity)));
    moved(chosen, keys[chosen].map((value) => value * factor));
  });
  const reset = button("reset", () => {
    data.keys.forEach((key, i) => { keys[i] = [...key]; });
    gamma.set(data.gamma);
    offset.set(data.offset);
    share.set(data.share);
    set();
  });
  const root = box(el, "matching explorer",
    make("div", { class: "vtm-row" }, gamma, offset, share),
    make("div", { class: "vtm-row" }, zero, copy, longer, reset),
    said,
    make("div", { class: "vtm-row" },
      make("figure", { style: "width: 390px" }, make("figcaption", {}, "the keys: ■ target, ● source; a line to the target that is most similar"), drawing.svg),
      make("figure", { style: "width: 260px" }, make("figcaption", {}, "only their directions: solid lines are merged, dotted ones are not"), circle.svg),
      table));

  function moved(i, to, words = "") {
    const turned = isZero(to) !== isZero(keys[i]) || cosine(keys[i], to) < 1 - 1e-9;
    last = { words, turned, before: length(keys[i]), after: length(to), group: merge.group.join() };
    keys[i] = to;
    chosen = i;
    changed();
  }

  function set() {
    last = null;
    changed();
  }

  const changed = answers(root, async () => {
    const targets = uniform(n, gamma.read(), offset.read());
    share.set(share.read());
    merge = { ...match(Float64Array.from(keys.flat()), n, 2, targets, nMerged(n, gamma.read(), share.read())), targets };
    draw();
    say();
  });

  /** Of source i: its number among the sources, its target, their cosine, whether it is merged, and who is level. */
  function pair(i) {
    const j = merge.sources.indexOf(i);
    const target = merge.targets[merge.best[j]];
    const similarity = merge.similarity[j];
    const level = [...merge.targets].filter((t) => t !== target && Math.abs(cosine(keys[i], keys[t]) - similarity) < 1e-9);
    return { i, target, similarity, merged: !merge.keep.includes(i), level };
  }

  function draw() {
    const { x, y } = drawing;
    const isTarget = (i) => merge.targets.includes(i);
    const pairs = [...merge.sources].map(pair);
    const look = (merged) => ({ stroke: merged ? COLOURS.vermillion : COLOURS.grey, "stroke-width": merged ? 3.5 : 2, "stroke-dasharray": merged ? undefined : "2 5" });
    const scale = x(1) - x(0);
    back.replaceChildren(
      make("line", { x1: 0, x2: SIZE, y1: y(0), y2: y(0), stroke: "#ddd" }),
      make("line", { y1: 0, y2: SIZE, x1: x(0), x2: x(0), stroke: "#ddd" }),
      make("circle", { cx: x(0), cy: y(0), r: scale, fill: "none", stroke: COLOURS.grey }),
      make("text", { x: x(0.71) + 4, y: y(0.71) - 4, "font-size": 15, fill: "#444" }, "length 1"),
      ...keys.map((key, i) => arrow(x(0), y(0), x(key[0]), y(key[1]), isTarget(i) ? DARK : COLOURS.blue, 1.4, isTarget(i) ? undefined : "6 4")),
      ...pairs.map((one) => make("line", {
        x1: x(keys[one.i][0]), y1: y(keys[one.i][1]), x2: x(keys[one.target][0]), y2: y(keys[one.target][1]),
        class: one.merged ? "merged" : "left", "data-source": one.i, "data-target": one.target, ...look(one.merged),
      })));
    const shifted = [];
    points.forEach((point, i) => {
      let px = x(keys[i][0]);
      const py = y(keys[i][1]);
      while (shifted.some(([a, b]) => Math.hypot(a - px, b - py) < 14)) px += px > SIZE - 30 ? 60 - SIZE : 24;
      shifted.push([px, py]);
      point.setAttribute("transform", `translate(${px} ${py})`);
      point.replaceChildren(...marker(i, isTarget(i)));
      point.setAttribute("aria-label", `key ${i}, ${isTarget(i) ? "target" : "source"}, ${keys[i][0].toFixed(2)} right, ${keys[i][1].toFixed(2)} up`);
      if (i === chosen) ring.setAttribute("transform", `translate(${px} ${py})`);
    });
    drawCircle(pairs, isTarget, look);
    fillTable(isTarget);
  }

  function drawCircle(pairs, isTarget, look) {
    const { svg, x, y } = circle;
    const unit = keys.map((key) => (isZero(key) ? [0, 0] : key.map((value) => value / length(key))));
    const taken = [];
    const labels = unit.map((at, i) => {
      const way = isZero(at) ? [0, -1] : at;
      let far = isZero(at) ? 0.22 : 1.22;
      while (taken.some(([a, b]) => Math.hypot(a - far * way[0], b - far * way[1]) < 0.32)) far += 0.04;
      taken.push([far * way[0], far * way[1]]);
      return make("g", { transform: `translate(${x(far * way[0])} ${y(far * way[1])})` }, ...marker(i, isTarget(i), 11, 14));
    });
    svg.replaceChildren(
      make("circle", { cx: x(0), cy: y(0), r: x(1) - x(0), fill: "none", stroke: COLOURS.grey }),
      ...pairs.map((one) => make("line", {
        x1: x(unit[one.i][0]), y1: y(unit[one.i][1]), x2: x(unit[one.target][0]), y2: y(unit[one.target][1]), ...look(one.merged),
      })),
      ...unit.map((at, i) => make("circle", { cx: x(at[0]), cy: y(at[1]), r: 4, fill: isTarget(i) ? DARK : COLOURS.blue })),
      ...labels);
  }

  function fillTable(isTarget) {
    if (isTarget(chosen)) {
      const rows = [...merge.sources].map(pair).filter((one) => one.target === chosen);
      table.set([[`key ${chosen}, target`, "cosine", "it"], ...rows.map((one) => [`source ${one.i}`, two(one.similarity), one.merged ? "merged" : "stays"])]);
      return;
    }
    const mine = pair(chosen);
    table.set([[`key ${chosen}, source`, "cosine", "it is"], ...[...merge.targets].map((t) => [
      `target ${t}`, two(cosine(keys[chosen], keys[t])), t === mine.target ? "its target" : mine.level.includes(t) ? "level" : ""])]);
  }

  function say() {
    const words = [last && last.words];
    if (last && !last.turned && two(last.before) !== two(last.after)) {
      words.push(`Its length has changed from ${two(last.before)} to ${two(last.after)}, its direction has not` +
        (last.group === merge.group.join() ? ", and so nothing else has." : "."));
    }
    words.push(`Key ${chosen} is a ${merge.targets.includes(chosen) ? "target" : "source"}.`);
    const copies = keys.map((_, i) => i).filter((i) => i !== chosen && !isZero(keys[i]) && `${keys[i]}` === `${keys[chosen]}`);
    const none = isZero(keys[chosen]);
    if (none) words.push("It is zero and has no direction: its cosine with every key is 0.");
    if (copies.length) words.push(`Its cosine with its copy, key ${copies[0]}, is 1.`);
    if (merge.targets.includes(chosen)) {
      const [merged, left] = [true, false].map((which) => [...merge.sources].map(pair).filter((one) => one.target === chosen && one.merged === which));
      words.push(merged.length ? `Merged into it: ${merged.map((one) => one.i).join(", ")}.` : "No source is merged into it.");
      if (left.length) words.push(`Most similar to it, but not merged: ${left.map((one) => one.i).join(", ")}.`);
    } else {
      const { target, similarity, level, merged } = pair(chosen);
      words.push(none ? `So all targets are level, and it goes to the lowest position, target ${target}.`
        : `Its most similar target is ${target}, cosine ${two(similarity)}.`);
      if (!none && level.length) words.push(`${level.length > 1 ? "Targets" : "Target"} ${level.join(", ")} ${level.length > 1 ? "are" : "is"} level with it; ` +
        (level.every((t) => t > target) ? "a tie goes to the lower position." : "rounding decides, as their last digits differ."));
      words.push(merged ? "It is merged." : "It stays as it is: other sources are more similar to theirs, or are before it in a tie.");
    }
    words.push(`${n} tokens become ${merge.keep.length}.`);
    said.say(words.filter(Boolean).join(" "));
  }

  changed();
}

/** Squares for targets, circles for sources, with the token's number. */
function marker(i, target, radius = 13, size = 16) {
  const shape = target ? make("rect", { x: -radius, y: -radius, width: 2 * radius, height: 2 * radius, fill: DARK, stroke: "#fff" })
    : make("circle", { r: radius, fill: "#fff", stroke: COLOURS.blue, "stroke-width": 2.5 });
  return [shape, make("text", { "text-anchor": "middle", y: size * 0.36, "font-size": size, "font-weight": 600, fill: target ? "#fff" : DARK }, i)];
}

function cosine(a, b) {
  return match(Float64Array.from([...a, ...b]), 2, 2, [1]).similarity[0];
}

function length([x, y]) {
  return Math.hypot(x, y);
}

function isZero([x, y]) {
  return x === 0 && y === 0;
}

/** 0.705 -> "0.71", and 0 without a sign. */
function two(value) {
  return (Math.abs(value) < 0.005 ? 0 : value).toFixed(2);
}
