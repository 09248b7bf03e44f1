// A panel's menu, its data as a table, and its downloads.

import { theme } from "../colours.js";
import { align } from "../charts/timeseries.js";
import { copy, download, h, icon, s, table } from "../dom.js";
import { csv, value as shown } from "../format.js";
import { fillIn } from "./reading.js";

/** @typedef {import("../panel.js").Panel} Panel */

/** @param {Panel} panel */
export function toggleMenu(panel) {
  if (panel.menu) return closeMenu(panel);
  const item = (name, text, key, act) =>
    h(
      "button",
      {
        role: "menuitem",
        onclick: () => {
          closeMenu(panel);
          act();
        },
      },
      icon(name),
      h("span", {}, text),
      key ? h("kbd", {}, key) : null,
    );
  panel.menu = h(
    "div",
    { class: "panel-menu", role: "menu", "aria-label": `Menu of ${panel.def.title}` },
    panel.def.description ? h("p", { class: "menu-about" }, panel.def.description) : null,
    item("expand", panel.context.isExpanded(panel.def.id) ? "Back to the dashboard" : "View large", "v", () =>
      panel.context.expand(panel.def.id),
    ),
    item("table", "View as a table", "t", () => showTable(panel)),
    item("copy", "Copy PromQL", "c", () => copyQuery(panel)),
    item("down", "Download CSV", "", () => downloadCsv(panel)),
    item("down", "Download SVG", "", () => downloadSvg(panel)),
    item("down", "Download PNG", "", () => downloadPng(panel)),
  );
  panel.element.append(panel.menu);
  panel.menuButton.setAttribute("aria-expanded", "true");
  panel.menu.querySelector("button").focus();
  panel.menu.addEventListener("keydown", (event) => {
    const items = [...panel.menu.querySelectorAll("button")];
    const at = items.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (event.key === "Escape") {
      closeMenu(panel);
      panel.menuButton.focus();
    } else if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
    else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  panel.menuAway = (event) => {
    const target = /** @type {Node} */ (event.target);
    if (!panel.menu?.contains(target) && !panel.menuButton.contains(target)) closeMenu(panel);
  };
  setTimeout(() => document.addEventListener("pointerdown", panel.menuAway));
}

/** @param {Panel} panel */
function closeMenu(panel) {
  panel.menu?.remove();
  panel.menu = null;
  panel.menuButton.setAttribute("aria-expanded", "false");
  document.removeEventListener("pointerdown", panel.menuAway);
}

/** @param {Panel} panel */
function expressions(panel) {
  const { from, to, rateInterval } = panel.window || panel.context.window();
  return panel.def.queries.map((asked) =>
    fillIn(asked.expression, { choices: panel.context.choices(), rateInterval, range: to - from }),
  );
}

/** @param {Panel} panel */
export function copyQuery(panel) {
  copy(expressions(panel).join("\n\n"), "PromQL");
}

/** Rows of the data behind the chart: header first. @param {Panel} panel */
function data(panel) {
  const series = panel.series();
  if (series.every((one) => one.values.length <= 1)) {
    return [["series", panel.def.unit], ...series.map((one) => [one.name, Number(one.values[0]?.[1])])];
  }
  const { times, rows } = align(series, panel.window);
  return [
    ["time", ...series.map((one) => one.name)],
    ...Array.from(times, (time, i) => [
      new Date(time * 1000).toISOString(),
      ...rows.map((row) => (Number.isFinite(row[i]) ? row[i] : "")),
    ]),
  ];
}

/** @param {Panel} panel */
export function showTable(panel) {
  if (!panel.answers) return;
  const [head, ...rows] = data(panel);
  panel.context.dialog(
    panel.def.title,
    h(
      "div",
      { class: "table-scroll", tabindex: "0" },
      table(
        head,
        rows
          .slice(-500)
          .reverse()
          .map((row) => row.map((cell, i) => (!i ? cell : cell === "" ? "–" : shown(cell, panel.def.unit)))),
      ),
    ),
  );
}

/** @param {Panel} panel */
function fileName(panel, ending) {
  return `${panel.def.id}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${ending}`;
}

/** @param {Panel} panel */
function downloadCsv(panel) {
  download(fileName(panel, "csv"), csv(data(panel)));
}

/** @param {Panel} panel */
function svgText(panel) {
  const source = panel.body.querySelector("svg");
  const copied = source.cloneNode(true);
  copied.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copied.prepend(s("rect", { width: "100%", height: "100%", fill: theme().surface }));
  return new XMLSerializer().serializeToString(copied);
}

/** @param {Panel} panel */
function downloadSvg(panel) {
  download(fileName(panel, "svg"), new Blob([svgText(panel)], { type: "image/svg+xml" }));
}

/** @param {Panel} panel */
function downloadPng(panel) {
  const source = panel.body.querySelector("svg");
  const [wide, tall] = [source.clientWidth, source.clientHeight];
  const image = new Image();
  const address = URL.createObjectURL(new Blob([svgText(panel)], { type: "image/svg+xml" }));
  image.onload = () => {
    const canvas = h("canvas", { width: wide * 2, height: tall * 2 });
    const pen = canvas.getContext("2d");
    pen.scale(2, 2);
    pen.drawImage(image, 0, 0);
    canvas.toBlob((blob) => download(fileName(panel, "png"), blob), "image/png");
    URL.revokeObjectURL(address);
  };
  image.src = address;
}
