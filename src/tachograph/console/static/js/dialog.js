// What opens over the page.

import { $, h, icon } from "./dom.js";

const KEYS = [
  ["?", "This list"],
  ["1 – 6", "Now, LLM Provider, MCP Tools, Alerts, Explore, Money"],
  ["space", "Pause or resume live refresh"],
  ["r", "Refresh now"],
  ["[ ]", "Earlier, later by half a range"],
  ["- +", "Longer, shorter range"],
  ["n", "Back to now"],
  ["d u", "Dark or light, local time or UTC"],
  ["f", "To the first filter"],
  ["j k", "Next, previous call or panel"],
  ["Enter", "Open the call or the panel"],
  ["↑ ↓ Home End", "Through the alerts, or the spans of a run"],
  ["← →", "Move the crosshair in a panel"],
  ["v t c", "View large, table, copy PromQL of a panel"],
  ["Esc", "Close what is open"],
];

export function openDialog(title, ...children) {
  const before = document.activeElement;
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-label": title },
    h(
      "header",
      { class: "card-head" },
      h("h2", {}, title),
      h("span", { class: "spring" }),
      h("button", { class: "icon-button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close")),
    ),
    children,
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement) before.focus();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  $("#dialog-root").append(dialog);
  dialog.showModal();
  return dialog;
}

export function openKeys() {
  openDialog(
    "Keyboard",
    h(
      "dl",
      { class: "keys" },
      KEYS.map(([key, text]) => [
        h(
          "dt",
          {},
          key.split(" ").map((one) => (one === "–" ? " – " : h("kbd", {}, one))),
        ),
        h("dd", {}, text),
      ]),
    ),
  );
}
