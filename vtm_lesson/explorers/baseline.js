// The baseline explorer: the speed-up of a measured network, beside a baseline that can be chosen. See baseline.py.

import { COLOURS, answers, box, choice, ledger, make, number, sentence } from "./parts.js";

const WORDS = { stored: "no merging, stored scores", fused: "no merging, fused attention" };
const NOT_MEASURED = { // baselines and batches that nobody measured, and why
  merged: "no merging, merged scores: where no group is made there is nothing to average, so it is fused attention",
  half: "no merging, bfloat16: ratios inside rounds were stored beside the float32 baselines only",
};

export function explore(el, data) {
  const fields = { merger: "merger", way: "attention and place of merging", budget: "budget" };
  const all = (field) => [...new Set(data.runs.flatMap((run) => run.rows.map((row) => row[field])))];
  const ways = data.ways.filter((way) => all("way").includes(way));
  const run = choice({ label: "measured on", options: data.runs.map((one) => [one.name, one.name]), value: data.run, change: () => changed() });
  const start = data.runs.find((one) => one.name === data.run).rows;
  const first = start.find((row) => row.merger === "learnable" && row.budget === "gamma 6, R = |S|") || start[0];
  const parts = Object.fromEntries(Object.entries(fields).map(([field, label]) => [field, choice({
    label, options: (field === "way" ? ways : all(field)).map((one) => [one, one]), value: first[field], change: () => changed(),
  })]));
  const baseline = choice({
    label: "divided by", value: data.baseline, change: () => changed(),
    options: [...Object.entries(WORDS), ...Object.entries(NOT_MEASURED)],
  });
  const batch = choice({
    label: "batch", value: "1", change: () => changed(),
    options: [["1", "1 film"], ["more", "more films: not measured, every stored run takes one"]],
  });
  for (const part of [baseline, batch]) {
    for (const option of part.input.options) option.disabled = option.value in NOT_MEASURED || option.value === "more";
  }
  for (const part of [run, baseline, batch, ...Object.values(parts)]) part.input.style.maxWidth = "min(100%, 19rem)";
  const said = sentence();
  const chart = make("div", { role: "img" });
  const table = ledger("what was measured");
  const source = make("p", { style: "font-size: 13px; margin: 0.4rem 0" });
  const root = box(el, "baseline explorer",
    make("div", { class: "vtm-row" }, run, baseline, batch),
    make("div", { class: "vtm-row" }, ...Object.values(parts)),
    said, chart, table, source);

  /** The rows of a run that fit what is chosen, where `other` may say something else for one field. */
  function fitting(other = {}) {
    const wanted = { run: run.read(), ...Object.fromEntries(Object.keys(fields).map((field) => [field, parts[field].read()])), ...other };
    const { rows } = data.runs.find((one) => one.name === wanted.run);
    return rows.filter((row) => Object.keys(fields).every((field) => row[field] === wanted[field]));
  }

  /** Grey what was not measured together with the rest of what is chosen, and say so in the list. */
  function grey() {
    for (const [field, part] of [["run", run], ...Object.entries(parts)]) {
      for (const option of part.input.options) {
        option.disabled = fitting({ [field]: option.value }).length === 0;
        const rest = { run: run.read(), ...Object.fromEntries(Object.keys(fields).map((one) => [one, parts[one].read()])) };
        delete rest[field];
        option.textContent = option.value + (option.disabled ? `: not measured with ${Object.values(rest).join(", ")}` : "");
      }
    }
  }

  const changed = answers(root, async () => {
    grey();
    const here = data.runs.find((one) => one.name === run.read());
    const row = fitting()[0];
    const word = baseline.read();
    const beside = here.baselines[word];
    const [median, low, high] = row[word];
    const fewer = beside.flops / row.flops;
    draw(row, word, fewer);
    const mib = (one) => (one.bytes ? number(Math.round(one.bytes / 2 ** 20)) : "not noted");
    const giga = (one) => number(Number((one.flops / 1e9).toPrecision(4)));
    const last = (one) => number(one.tokens[one.tokens.length - 1]);
    table.set([["network", "seconds", "middle half", "GFLOPs", "MiB", "tokens left"],
      ...[[WORDS[word], beside], [`${row.merger}, ${row.budget}`, row]].map(([name, one]) => [name, one.seconds[0].toPrecision(3),
        `${one.seconds[1].toPrecision(3)} to ${one.seconds[2].toPrecision(3)}`, giga(one), mib(one), last(one)])]);
    const other = word === "stored" ? "fused" : "stored";
    const memory = row.bytes && beside.bytes ? ` Its memory is ${change(row.bytes / beside.bytes - 1)}.` : "";
    said.say(`${capital(row.merger)} merging with ${row.budget} (${row.way}), ${here.pass}: ${times(median)} times as fast as ${WORDS[word]} ` +
      `(middle half of the rounds: ${times(low)} to ${times(high)}), with ${times(fewer)} times fewer FLOPs.${memory} ` +
      `Divided by ${WORDS[other]} it would be ${times(row[other][0])}. The paper's ${data.paper} lies ${data.paper > high ? "above" : data.paper < low ? "below" : "inside"} the interval; it names no baseline.`);
    source.textContent = `${capital(here.name)}: ${here.machine}. ${capital(here.size)}, ${here.pass}, ${here.dtype}.`;
  });

  function draw(row, word, fewer) {
    const bars = [
      { name: `measured, beside ${WORDS[word]}`, value: row[word][0], low: row[word][1], high: row[word][2], fill: COLOURS.blue },
      { name: `measured, beside ${WORDS[word === "stored" ? "fused" : "stored"]}`, value: row[word === "stored" ? "fused" : "stored"][0],
        low: row[word === "stored" ? "fused" : "stored"][1], high: row[word === "stored" ? "fused" : "stored"][2], fill: "#fff" },
      { name: "counted: times fewer FLOPs", value: fewer, fill: "#bbb" },
    ];
    const most = 1.06 * Math.max(data.paper, ...bars.map((bar) => bar.high || bar.value));
    const at = (value) => `${(100 * value) / most}%`;
    const line = `position: absolute; top: 0; bottom: 0; left: ${at(data.paper)}; border-left: 2px dashed #111`;
    chart.replaceChildren(
      make("div", { style: "font-size: 13px; margin-bottom: 0.2rem" }, `┆ the paper: ${data.paper} times; the scale ends at ${times(most)}`),
      ...bars.map((bar) => make("div", { style: "margin-bottom: 0.5rem" },
        make("div", { style: "font-size: 13px" }, `${bar.name}: `, make("b", {}, times(bar.value)), bar.low ? ` (${times(bar.low)} to ${times(bar.high)})` : ""),
        make("div", { style: "position: relative; height: 24px; background: #f3f3f3; border: 1px solid #767676" },
          make("div", { style: `position: absolute; top: 3px; bottom: 3px; left: 0; width: ${at(bar.value)}; background: ${bar.fill}; border: 1px solid #111` }),
          ...(bar.low ? [make("div", { style: `position: absolute; top: 9px; bottom: 9px; left: ${at(bar.low)}; width: max(3px, ${(100 * (bar.high - bar.low)) / most}%); background: #111; outline: 2px solid #fff` })] : []),
          make("div", { style: line })))));
    chart.setAttribute("aria-label", `bars: ${bars.map((bar) => `${bar.name} ${times(bar.value)}`).join("; ")}; a line at the paper's ${data.paper}`);
  }

  changed();
}

function times(value) {
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** -0.84 -> "84% less than the baseline's". */
function change(share) {
  return `${Math.abs(100 * share).toFixed(0)}% ${share < 0 ? "less" : "more"} than the baseline's`;
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}
