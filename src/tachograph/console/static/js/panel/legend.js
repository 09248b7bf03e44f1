// A panel's legend: names, colours and values now, with search; one name shown alone; and the table that screen readers get.

import { announce, h, key, refill } from "../dom.js";
import { shorten, value as shown } from "../format.js";
import * as state from "../state.js";
import { latest } from "./reading.js";

/** @typedef {import("../panel.js").Panel} Panel */

const LEGEND_ROWS = 40;
const SEARCH_FROM = 10;

/** @param {Panel} panel */
export function summary(panel, series, rows) {
  const parts = series.slice(0, 12).map(({ name }, index) => {
    return `${name} ${shown(latest(rows[index]), panel.def.unit)}`;
  });
  return `${panel.def.title}. Now: ${parts.join(", ")}`;
}

/** @param {Panel} panel */
export function isolated(panel) {
  const text = state.get(`only.${panel.def.id}`);
  return text ? new Set(text.split("~")) : null;
}

/** @param {Panel} panel */
export function drawLegend(panel, series, rows, colours, visible) {
  const wanted = (panel.search || "").toLowerCase();
  const names = series.map(({ name }) => name);
  const items = series
    .map(({ name, n }, index) => {
      if (wanted && !name.toLowerCase().includes(wanted)) return null;
      const last = latest(rows[index]);
      return h(
        "button",
        {
          class: `legend-item${visible[index] ? "" : " off"}`,
          "aria-pressed": String(visible[index]),
          title: "Show only this one; with Shift, add or remove it",
          onclick: (event) => isolate(panel, name, event.shiftKey || event.ctrlKey || event.metaKey),
        },
        key(colours[index], panel.chart.dashes?.[index]),
        h("span", { class: "legend-name", title: name }, shorten(name || "value", 44, names)),
        h(
          "span",
          { class: "legend-value", title: n === null ? null : `of ${n} ${n === 1 ? "call" : "calls"} in this range` },
          shown(last, panel.def.unit),
        ),
      );
    })
    .filter(Boolean);
  if (series.length > SEARCH_FROM) {
    items.unshift(
      (panel.searchBox ||= h("input", {
        class: "legend-search",
        type: "search",
        placeholder: "find a series",
        "aria-label": `Find a series of ${panel.def.title}`,
        oninput: (event) => {
          panel.search = event.target.value;
          panel.draw();
        },
      })),
    );
  }
  refill(panel.legend, items);
  panel.tableHolder.replaceChildren(summaryTable(panel, series, rows));
}

/** @param {Panel} panel */
export function summaryTable(panel, series, rows) {
  const line = (row) => {
    const finite = row.filter(Number.isFinite);
    if (!finite.length) return [NaN, NaN, NaN, NaN];
    let sum = 0,
      high = -Infinity,
      low = Infinity;
    for (const number of finite) {
      sum += number;
      if (number > high) high = number;
      if (number < low) low = number;
    }
    return [low, sum / finite.length, high, finite.at(-1)];
  };
  return h(
    "table",
    {},
    h("caption", {}, `${panel.def.title}, values in this time range`),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Series", "Lowest", "Mean", "Highest", "Last"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      series.slice(0, LEGEND_ROWS).map(({ name }, index) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          line(rows[index]).map((number) => h("td", { "data-value": String(number) }, shown(number, panel.def.unit))),
        ),
      ),
    ),
  );
}

/** @param {Panel} panel */
export function isolate(panel, name, add) {
  const now = isolated(panel);
  let next;
  if (add) {
    const all = panel.chart.series.map((one) => one.name);
    next = new Set(now || all);
    if (next.has(name)) next.delete(name);
    else next.add(name);
    if (next.size === all.length || next.size === 0) next = null;
  } else {
    next = now && now.size === 1 && now.has(name) ? null : new Set([name]);
  }
  state.set({ [`only.${panel.def.id}`]: next ? [...next].join("~") : null });
  announce(next ? `Showing ${[...next].join(", ")}` : "Showing all series");
  panel.draw();
}

/** @param {Panel} panel */
export function plainTable(panel, pairs) {
  panel.legend.replaceChildren();
  panel.tableHolder.replaceChildren(
    h(
      "table",
      {},
      h("caption", {}, panel.def.title),
      h(
        "tbody",
        {},
        pairs.map(([name, text, number]) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, name),
            h("td", { "data-value": number === undefined ? null : String(number) }, text),
          ),
        ),
      ),
    ),
  );
}
