// What the theme leaves open: search in a page that was opened as a file, and boxes that scroll reached by keyboard.
"use strict";

// A browser lets no script read a neighbouring file, so search lists its results there without an excerpt of each page.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

function reachable() {
  const boxes = document.querySelectorAll(
    ".bd-article pre, .bd-article .output, .bd-article .pst-scrollable-table-container, .bd-article div.math, mjx-container, .scrolls");
  for (const box of boxes) {
    if (box.scrollWidth > box.clientWidth + 1) {
      if (!box.hasAttribute("tabindex")) box.tabIndex = 0;
    }
  }
}

addEventListener("load", () => {
  const set = window.MathJax && MathJax.startup && MathJax.startup.promise;
  (set || Promise.resolve()).then(reachable);
  addEventListener("resize", reachable);
});
