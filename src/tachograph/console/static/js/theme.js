// Set before the first paint, so that no page flashes in the wrong theme. Not a module: modules wait.
"use strict";
(() => {
  const asked = new URLSearchParams(location.hash.split("?")[1] || "").get("theme");
  let kept = null;
  try {
    kept = localStorage.getItem("tachograph.theme");
  } catch {
    /* storage may be refused; the system's theme serves */
  }
  const theme = asked || kept;
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
