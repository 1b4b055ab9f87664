// The schedule explorer: what every block does to the tokens, and what that costs. See schedule.py.

import { nMerged, nTargets } from "./merging.js";
import { COLOURS, answers, box, button, ledger, make, number, sentence, slider } from "./parts.js";

const MIB = 2 ** 20;
const CHUNKS_DRAWN = 80; // more would be a grey bar

export function explore(el, data) {
  const { choices } = data;
  const frames = slider({ label: "frames", values: choices.frames, value: data.frames, change: () => changed() });
  const patches = slider({ label: "patches of a frame", values: choices.patches, value: data.patches, change: () => changed() });
  const dim = slider({ label: "channels of the encoder", values: choices.dim, value: data.dim, change: () => changed() });
  const count = slider({ label: "blocks", min: 1, max: data.blocks.length, value: data.count, change: () => changed() });
  const blocks = data.blocks.map((start, i) => {
    const parts = {
      chunk: slider({ label: "chunk length, frames", values: choices.chunk, value: start.chunk, change: () => changed() }),
      gamma: slider({ label: "gamma", values: choices.gamma, value: start.gamma, shown: (g) => (g === 1 ? "1: no merging" : String(g)), change: () => changed() }),
      r: slider({ label: "R / |S|", values: choices.r, value: start.r, shown: (r) => r.toFixed(2), change: () => changed() }),
      width: slider({ label: "channels after it", values: choices.width, value: start.width, change: () => changed() }),
    };
    for (const { input } of Object.values(parts)) input.style.cssText = "order: 1; width: 100%; max-width: 100%"; // under its number
    const place = make("fieldset", { style: "border: 1px solid #767676; border-radius: 4px; flex: 1 1 10.4rem; max-width: 14.5rem; padding: 0.2rem 0.6rem; margin: 0" },
      make("legend", {}, `block ${i + 1}`), ...Object.values(parts));
    return { place, parts };
  });
  const reset = button("reset", () => {
    frames.set(data.frames);
    patches.set(data.patches);
    dim.set(data.dim);
    count.set(data.count);
    blocks.forEach(({ parts }, i) => { for (const [name, part] of Object.entries(parts)) part.set(data.blocks[i][name]); });
    changed();
  });
  const said = sentence();
  const bars = make("div", { role: "img" });
  const table = ledger("tokens and cost of every block");
  const time = make("p", { style: "font-size: 13px; margin: 0.4rem 0" });
  const root = box(el, "schedule explorer",
    make("div", { class: "vtm-row" }, frames, patches, dim, count, reset),
    make("div", { class: "vtm-row" }, ...blocks.map((one) => one.place)),
    said, bars, table, time);

  /** What is set now, in the words of `counted`. */
  function chosen() {
    const set = blocks.slice(0, count.read()).map(({ parts }) => Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part.read()])));
    return { frames: frames.read(), patches: patches.read(), dim: dim.read(), classes: data.classes, blocks: set };
  }

  const changed = answers(root, async () => {
    blocks.forEach(({ place }, i) => { place.hidden = i >= count.read(); });
    const schedule = chosen();
    const found = counted(schedule);
    const plain = counted({ ...schedule, blocks: schedule.blocks.map((block) => ({ ...block, gamma: 1 })) });
    if (found.refused || plain.refused) {
      said.say(`This cannot be built: ${found.refused || plain.refused}`);
      bars.replaceChildren();
      bars.setAttribute("aria-label", "no bars: this schedule cannot be built");
      table.set([["block", "tokens"]]);
      time.textContent = "";
      return;
    }
    draw(found);
    const seconds = predicted(found, data.time);
    fill(found, plain, seconds, predicted(plain, data.time));
    tell(found, plain, seconds, predicted(plain, data.time));
  });

  function fill(found, plain, seconds, plainSeconds) {
    const row = (name, block, other, t) => [name, number(block.chunks), number(block.tokensIn), number(block.tokensOut), giga(block.flops), giga(other.flops),
      mib(block.scores), mib(other.scores), Number.isFinite(t) ? time3(t) : "–"];
    const whole = (one) => ({ chunks: NaN, tokensIn: one.blocks[0].tokensIn, tokensOut: one.blocks[one.blocks.length - 1].tokensOut,
      flops: one.flops, scores: Math.max(...one.blocks.map((block) => block.scores)) });
    table.set([["block", "chunks", "tokens in", "tokens out", "GFLOPs", "GFLOPs, no merging", "MiB of scores", "MiB of scores, no merging", "seconds, predicted"],
      ...found.blocks.map((block, i) => row(`block ${i + 1}`, block, plain.blocks[i], seconds.blocks[i])),
      row("whole", whole(found), whole(plain), seconds.whole),
      row("whole, no merging", whole(plain), whole(plain), plainSeconds.whole)]);
  }

  function tell(found, plain, seconds, plainSeconds) {
    const last = found.blocks[found.blocks.length - 1];
    const dearest = found.blocks.reduce((most, block, i) => (block.flops > found.blocks[most].flops ? i : most), 0);
    const fewer = plain.flops / found.flops;
    said.say(`${number(found.blocks[0].tokensIn)} tokens become ${number(last.tokensOut)}. ` +
      `The network needs ${giga(found.flops)} GFLOPs for a film, ${fewer.toFixed(2)} times fewer than the ${giga(plain.flops)} without merging. ` +
      `Block ${dearest + 1} takes ${Math.round((100 * found.blocks[dearest].flops) / found.flops)}% of them. ` +
      (Number.isFinite(seconds.whole) && Number.isFinite(plainSeconds.whole)
        ? `Predicted, with fused attention: ${time3(seconds.whole)} s, ${(plainSeconds.whole / seconds.whole).toFixed(2)} times as fast as without merging.` : `No time is predicted: ${seconds.why || plainSeconds.why}.`));
    const { machine, low, high, networks, blocks: measured } = data.time;
    time.textContent = `Scores are counted as if they were stored, 4 bytes each; those of the whole are those of the block that has most. Predicted seconds are those of fused attention on one machine ` +
      `(${machine}): a line through ${measured} measured blocks. Of ${networks} networks measured at other times and on other machines they were ` +
      `off by ${signed(low)} to ${signed(high)}. A block unlike the measured ones gets no prediction.`;
  }

  function draw(found) {
    const all = found.blocks[0].tokensIn;
    const rows = found.blocks.map((block, i) => make("div", {},
      make("div", { style: "font-size: 13px" }, `block ${i + 1}: ${number(block.tokensIn)} tokens in ${number(block.chunks)} chunk${block.chunks > 1 ? "s" : ""}, ${number(block.tokensOut)} stay`),
      bar(all, block.pieces)));
    const last = found.blocks[found.blocks.length - 1];
    rows.push(make("div", {}, make("div", { style: "font-size: 13px" }, `averaged: ${number(last.tokensOut)} tokens`), bar(all, [{ tokens: last.tokensOut, left: last.tokensOut }])));
    bars.replaceChildren(...rows);
    bars.setAttribute("aria-label", `tokens through the blocks: ${all} at first, then ${found.blocks.map((block) => block.tokensOut).join(", ")}`);
  }

  changed();
}

/** Every chunk as a box, as wide as its tokens; what stays of it is filled. */
function bar(all, pieces) {
  const [wide, high] = [1000, 20];
  const shown = pieces.length <= CHUNKS_DRAWN ? pieces
    : [{ tokens: pieces.reduce((sum, one) => sum + one.tokens, 0), left: pieces.reduce((sum, one) => sum + one.left, 0) }];
  const svg = make("svg", { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true",
    style: `width: 100%; height: ${high}px; border: 0; background: none; touch-action: auto; margin-bottom: 0.4rem` });
  let start = 0;
  for (const { tokens, left } of shown) {
    const [x, width] = [(wide * start) / all, (wide * tokens) / all];
    svg.append(make("rect", { x, y: 1, width, height: high - 2, fill: "#fff", stroke: "#111", "stroke-width": 1, "vector-effect": "non-scaling-stroke" }),
      make("rect", { x, y: 1, width: Math.max((wide * left) / all, 1), height: high - 2, fill: COLOURS.blue }));
    start += tokens;
  }
  return svg;
}

/**
 * Tokens and FLOPs of a network that merges in chunks with one head and in the paper's order, as `vtm.count` counts them.
 * A block is {chunk, gamma, r, width}. Returns {blocks, flops}; or {refused}, a sentence, where no such network can be.
 */
function counted({ frames, patches, dim, classes, blocks }) {
  const short = blocks.findIndex((block, i) => i && block.chunk < blocks[i - 1].chunk);
  if (short > 0) return { refused: `block ${short + 1} has chunks of ${blocks[short].chunk} frames; each block looks at least as far as the one before it.` };
  let segments = Array.from({ length: frames }, () => ({ frames: 1, tokens: patches }));
  let channels = dim;
  const rows = [];
  for (const [i, { chunk, gamma, r, width }] of blocks.entries()) {
    const pieces = [];
    let start = 0;
    for (const one of segments) {
      const at = Math.floor(start / chunk);
      if (at !== Math.floor((start + one.frames - 1) / chunk)) {
        return { refused: `chunks of ${chunk} frames in block ${i + 1} would cut through the chunks of the block before; take a multiple of ${blocks[i - 1].chunk}.` };
      }
      pieces[at] = pieces[at] || { frames: 0, tokens: 0 };
      pieces[at].frames += one.frames;
      pieces[at].tokens += one.tokens;
      start += one.frames;
    }
    const merges = gamma > 1 && r > 0;
    const row = { chunks: pieces.length, tokensIn: 0, targets: 0, tokensOut: 0, scores: 0, flops: 0, widthIn: channels, pieces };
    let [attention, matching] = [0, 0];
    for (const piece of pieces) {
      const targets = merges ? nTargets(piece.tokens, gamma) : piece.tokens;
      const merged = merges ? nMerged(piece.tokens, gamma, r) : 0;
      piece.left = piece.tokens - merged;
      row.tokensIn += piece.tokens;
      row.tokensOut += piece.left;
      row.targets += targets;
      row.scores += 4 * piece.tokens ** 2; // bytes
      row.longest = Math.max(row.longest || 0, piece.tokens);
      attention += 4 * piece.tokens ** 2 * channels;
      if (merged > 0) matching += 2 * targets * (piece.tokens - targets) * channels;
    }
    row.flops = 6 * row.tokensIn * channels ** 2 + attention + matching + 2 * row.tokensOut * channels * width;
    rows.push(row);
    segments = pieces.map((piece) => ({ frames: piece.frames, tokens: piece.left }));
    channels = width;
  }
  return { blocks: rows, flops: rows.reduce((sum, row) => sum + row.flops, 0) + 2 * channels * classes };
}

/** Seconds of every block and of all, from the stored line; NaN where a block is unlike those that were measured, and why. */
function predicted(found, pace) {
  let why = "";
  const blocks = found.blocks.map((block, i) => {
    const { flops, tokens, chunk } = pace.most;
    const beyond = !pace.widths.includes(block.widthIn) ? `it has ${block.widthIn} channels`
      : block.flops > flops || block.tokensIn > tokens || block.longest > chunk ? "it is larger"
        : block.flops < pace.least ? "it is smaller" : "";
    if (beyond) why = why || `block ${i + 1} is unlike the blocks that were measured: ${beyond}`;
    return beyond ? NaN : pace.fixed + pace.pace * block.flops;
  });
  return { blocks, whole: blocks.reduce((a, b) => a + b, 0), why };
}

function giga(flops) {
  return number(Number((flops / 1e9).toPrecision(4)));
}

function mib(bytes) {
  return number(Number((bytes / MIB).toPrecision(3)));
}

function time3(seconds) {
  return seconds.toPrecision(3);
}

function signed(share) {
  return `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(0)}%`;
}
