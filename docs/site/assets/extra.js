// What Zensical's pages lack for keyboards and screen readers, by axe-core.
"use strict";
(() => {
  const mend = () => {
    for (const code of document.querySelectorAll("pre > code:not([tabindex])")) code.tabIndex = 0; // it scrolls
    for (const box of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) box.tabIndex = 0; // as well
    for (const cell of document.querySelectorAll("th:empty")) { // Markdown has no table without a header in each column
      const head = cell.closest("thead");
      if (head?.textContent.trim() === "") head.remove();
      else cell.replaceWith(document.createElement("td"));
    }
    const bars = document.querySelectorAll("nav.md-code__nav");
    bars.forEach((bar, at) => bar.setAttribute("aria-label", `Buttons of block ${at + 1}`));
  };
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
})();
