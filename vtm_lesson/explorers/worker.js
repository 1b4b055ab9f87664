// The other end of `merger` in parts.js: merges films too large for the page, and says how far it is.

import { matchSteps } from "./merging.js";

self.onmessage = ({ data }) => {
  const { keys, n, dim, targets, nMerge, number } = data;
  const steps = matchSteps(keys, n, dim, targets, nMerge);
  let told = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done) {
      self.postMessage({ number, merge: step.value });
      return;
    }
    if (performance.now() - told > 40) {
      told = performance.now();
      self.postMessage({ number, done: step.value });
    }
  }
};
