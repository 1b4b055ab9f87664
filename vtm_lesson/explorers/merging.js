// The merging of `vtm_lesson.merging`, for the page: partitions, match and averages, with the same names and results.
//
// Keys are a flat array, one token's `dim` numbers after the other's. Everything is computed in double precision. That
// it agrees with Python on random and awkward input is tested in a real browser (tests/all/test_explorers.py).

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** T = ceil(n / gamma), how many of n tokens are targets (VTM eq. 1). */
export function nTargets(n, gamma) {
  return Math.max(1, Math.ceil(n / gamma - 1e-9));
}

/** R = floor(r |S|), how many sources are merged (VTM eq. 5). */
export function nMerged(n, gamma, r) {
  return Math.floor(r * (n - nTargets(n, gamma)) + 1e-9);
}

/** Every gamma-th token, or one token of every run of gamma, each time at another place of the run (VTM eqs. 1-2). */
export function uniform(n, gamma, offset = 0, staggered = false) {
  const count = nTargets(n, gamma);
  const start = (run) => Math.min(n, Math.floor(run * gamma));
  const positions = new Int32Array(count);
  for (let run = 0; run < count; run++) {
    const length = start(run + 1) - start(run);
    const inside = staggered ? Math.floor(((run * GOLDEN) % 1) * length) : 0;
    positions[run] = modulo(start(run) + inside + offset, n);
  }
  return positions.sort();
}

/** More targets in the centre of every frame, or in the rest of it ("boundary") (VTM sec. 3.3). */
export function region(frames, height, width, gamma, focus = "centre", offset = 0) {
  const mask = centreMask(height, width);
  const dense = [];
  const sparse = [];
  for (let i = 0; i < frames * height * width; i++) {
    const inside = mask[i % (height * width)] === 1;
    (inside === (focus === "centre") ? dense : sparse).push(i);
  }
  const count = nTargets(frames * height * width, gamma);
  const share = (3 * dense.length) / (3 * dense.length + sparse.length);
  const many = Math.min(dense.length, Math.max(count - sparse.length, roundHalfToEven(count * share)));
  return Int32Array.from([...spread(dense, many, offset), ...spread(sparse, count - many, offset)]).sort();
}

/** The tokens of highest score; ties go to the lower position. */
export function top(score, gamma) {
  const order = Array.from(score, (_, i) => i).sort((a, b) => score[b] - score[a] || a - b);
  return Int32Array.from(order.slice(0, nTargets(score.length, gamma))).sort();
}

/** Targets drawn without replacement, p = softmax(score) (VTM eqs. 6 and 9). `random` gives numbers from 0 to 1. */
export function sample(score, gamma, random) {
  const noisy = Float64Array.from(score, (value) => value - Math.log(-Math.log(1 - random()) || Number.MIN_VALUE));
  return top(noisy, gamma);
}

/** 1 in the H/2 x W/2 rectangle in the middle, else 0. */
export function centreMask(height, width) {
  const rows = Math.max(1, roundHalfToEven(height / 2));
  const columns = Math.max(1, roundHalfToEven(width / 2));
  const y = Math.floor((height - rows) / 2);
  const x = Math.floor((width - columns) / 2);
  const mask = new Uint8Array(height * width);
  for (let row = y; row < y + rows; row++) mask.fill(1, row * width + x, row * width + x + columns);
  return mask;
}

/** Random numbers from 0 to 1 that are the same for the same seed (the generator "mulberry32"). */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Match every source to its most similar target, and merge the nMerge most similar sources (VTM eqs. 3 and 5).
 * Returns {group, keep, similarity, best}: the number of the output token that each input token goes into; the position
 * of the token that each output continues; of each source, in order, its cosine with its target and that target's number.
 */
export function match(keys, n, dim, targets, nMerge = n - targets.length) {
  const steps = matchSteps(keys, n, dim, targets, nMerge);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** `match`, some sources at a time: yields the share that is done, from 0 to 1, so that a page can go on meanwhile. */
export function* matchSteps(keys, n, dim, targets, nMerge = n - targets.length) {
  const unit = normalised(keys, n, dim);
  const isTarget = new Uint8Array(n);
  for (const position of targets) isTarget[position] = 1;
  const sources = [];
  for (let i = 0; i < n; i++) if (!isTarget[i]) sources.push(i);
  const best = new Int32Array(sources.length);
  const similarity = new Float64Array(sources.length);
  const slice = Math.max(1, Math.floor(4e6 / (targets.length * dim))); // sources; a few milliseconds
  for (let j = 0; j < sources.length; j++) {
    if (j && j % slice === 0) yield j / sources.length;
    const a = sources[j] * dim;
    let most = -Infinity;
    for (let t = 0; t < targets.length; t++) {
      const b = targets[t] * dim;
      let cosine = 0;
      for (let c = 0; c < dim; c++) cosine += unit[a + c] * unit[b + c];
      if (cosine > most) {
        most = cosine; // only a larger one: ties stay with the lower target
        best[j] = t;
      }
    }
    similarity[j] = most;
  }
  const rank = Array.from(sources, (_, j) => j);
  if (nMerge < sources.length) rank.sort((a, b) => similarity[b] - similarity[a] || a - b);
  const into = new Int32Array(n).fill(-1);
  for (const j of rank.slice(0, nMerge)) into[sources[j]] = targets[best[j]];
  const keep = [];
  const group = new Int32Array(n);
  for (let i = 0; i < n; i++) if (into[i] < 0) group[i] = keep.push(i) - 1;
  for (let i = 0; i < n; i++) if (into[i] >= 0) group[i] = group[into[i]];
  return { group, keep: Int32Array.from(keep), similarity, best, sources: Int32Array.from(sources) };
}

/** How many tokens went into each of the `count` groups. */
export function sizes(group, count) {
  const size = new Int32Array(count);
  for (const g of group) size[g]++;
  return size;
}

/** The plain average of each group (VTM eq. 4): values (n x dim), flat -> (count x dim), flat. */
export function averages(values, dim, group, count) {
  const total = new Float64Array(count * dim);
  const size = sizes(group, count);
  for (let i = 0; i < group.length; i++) for (let c = 0; c < dim; c++) total[group[i] * dim + c] += values[i * dim + c];
  for (let g = 0; g < count; g++) for (let c = 0; c < dim; c++) total[g * dim + c] /= size[g];
  return total;
}

/** Keys scaled to length 1. A key of zeros has no direction and stays as it is: its cosine with everything is 0. */
function normalised(keys, n, dim) {
  const unit = new Float64Array(n * dim);
  for (let i = 0; i < n; i++) {
    let largest = 0;
    for (let c = 0; c < dim; c++) largest = Math.max(largest, Math.abs(keys[i * dim + c]));
    if (largest === 0) continue;
    let squares = 0; // of numbers of at most 1, so that no square overflows or vanishes
    for (let c = 0; c < dim; c++) squares += (keys[i * dim + c] / largest) ** 2;
    const length = Math.sqrt(squares);
    for (let c = 0; c < dim; c++) unit[i * dim + c] = keys[i * dim + c] / largest / length;
  }
  return unit;
}

/** `count` of the positions, evenly spread, moved along by `offset` of them. */
function spread(positions, count, offset) {
  const step = positions.length / count;
  const at = (i) => positions[modulo(Math.floor(i * step) + offset, positions.length)];
  return Array.from({ length: count }, (_, i) => at(i));
}

/** As Python's round: halves go to the even neighbour. */
function roundHalfToEven(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

function modulo(value, n) {
  return ((value % n) + n) % n;
}
