// A panel of one number: of many series the sum or the worst, named, with its trend.

import { theme } from "../colours.js";
import { align, sparkline } from "../charts/timeseries.js";
import { h } from "../dom.js";
import { value as shown } from "../format.js";
import { summaryTable } from "./legend.js";
import { badness, reduced, tone } from "./reading.js";

/** @typedef {import("../panel.js").Panel} Panel */

/** @param {Panel} panel */
export function drawStat(panel, width) {
  const own = panel.series();
  const { rows, times } = align(own, panel.window);
  const numbers = own.map(({ values }) => (values.length ? Number(values.at(-1)[1]) : NaN));
  const { value, chosen } = reduced(panel.def, numbers);
  const sums = chosen === null;
  const row = sums
    ? times.map((_, i) => rows.reduce((sum, one) => sum + (Number.isFinite(one[i]) ? one[i] : 0), 0))
    : rows[chosen] || [];
  const finite = Array.from(row).filter(Number.isFinite);
  const before = finite.slice(0, Math.max(1, Math.floor(finite.length / 2)));
  const mean = before.reduce((sum, number) => sum + number, 0) / (before.length || 1);
  const change = finite.length > 4 && mean > 0 ? (value - mean) / mean : NaN;
  const trend =
    Number.isFinite(change) && Math.abs(change) >= 0.005
      ? h(
          "span",
          { class: "stat-trend", title: "Against the mean of the first half of this range" },
          `${change > 0 ? "▲" : "▼"} ${Math.abs(change * 100).toFixed(change > 9.99 ? 0 : 1)} %`,
        )
      : null;
  const many = own.length > 1;
  const which = !many
    ? null
    : h(
        "div",
        { class: "stat-of muted" },
        sums
          ? `sum of ${own.length}: ${own
              .map((one) => one.name)
              .slice(0, 3)
              .join(", ")}${own.length > 3 ? " ..." : ""}`
          : [h("b", {}, own[chosen].name), ` is the worst of ${own.length}`],
      );
  const list = many
    ? h(
        "ul",
        { class: "stat-list" },
        own
          .map((one, i) => [numbers[i], one.name])
          .sort((a, b) => badness(panel.def, b[0]) - badness(panel.def, a[0]))
          .slice(0, 5)
          .map(([number, name]) =>
            h("li", {}, h("span", {}, name), h("b", { class: tone(panel.def, number) }, shown(number, panel.def.unit))),
          ),
      )
    : null;
  const number = h(
    "div",
    { class: `stat ${tone(panel.def, value)}` },
    h("span", { class: "stat-value" }, own.length ? shown(value, panel.def.unit) : "–"),
    trend,
  );
  const line =
    many || panel.def.trend === false || finite.length < 3
      ? null
      : sparkline({ times, row, width, height: 100, colour: theme().accent });
  panel.body.replaceChildren(number, which || "", list || "", line ? h("div", { class: "spark-holder" }, line) : "");
  panel.legend.replaceChildren();
  panel.tableHolder.replaceChildren(summaryTable(panel, own, rows));
}
