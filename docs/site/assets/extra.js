// What Zensical's pages lack for keyboards and screen readers, by axe-core.
"use strict";
(() => {
  const mend = () => {
    for (const code of document.querySelectorAll("pre > code:not([tabindex])")) code.tabIndex = 0; // it scrolls
    const bars = document.querySelectorAll("nav.md-code__nav");
    bars.forEach((bar, at) => bar.setAttribute("aria-label", `Buttons of block ${at + 1}`));
  };
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
})();
