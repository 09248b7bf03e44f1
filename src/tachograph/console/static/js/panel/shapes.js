// The panels that are not lines: gauges, matrix, latency heat, histogram, events.

import { heat, MEANING, theme } from "../colours.js";
import { bars, events, gauges, latencyHeat, matrix } from "../charts/shapes.js";
import { align } from "../charts/timeseries.js";
import { h, key } from "../dom.js";
import { short, value as shown } from "../format.js";
import * as state from "../state.js";
import { plainTable } from "./legend.js";
import { hover } from "./pointer.js";
import { bound, deCumulate, happenings, together } from "./reading.js";

/** @typedef {import("../panel.js").Panel} Panel */

const MOST_LINES = 9;

/** @param {Panel} panel */
export function drawGauges(panel, width) {
  const items = panel
    .series()
    .map(({ name, values }) => ({ name: name || "all", value: Number(values.at(-1)[1]) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const label = `${panel.def.title}: ${items.map((item) => `${item.name} ${item.value}`).join(", ")}`;
  panel.body.replaceChildren(gauges({ items, unit: panel.def.unit, width, label }));
  plainTable(
    panel,
    items.map((item) => [item.name, shown(item.value, panel.def.unit), item.value]),
  );
}

/** @param {Panel} panel */
export function drawMatrix(panel, width) {
  const [rowLabel, columnLabel] = panel.def.matrix || ["server_id", "tool_name"];
  const cells = panel.series().map(({ labels, values, n, failed }) => ({
    row: labels[rowLabel] ?? "",
    column: labels[columnLabel] ?? "",
    n,
    failed,
    value: Number(values.findLast(([, text]) => text !== "NaN")?.[1] ?? NaN),
  }));
  const label = `${panel.def.title}: ${cells
    .slice(0, 20)
    .map((cell) => `${cell.row} ${cell.column} ${shown(cell.value, panel.def.unit)}`)
    .join(", ")}`;
  panel.body.replaceChildren(
    matrix({
      cells,
      unit: panel.def.unit,
      width,
      marks: [0.02, 12],
      label,
      onpick: (cell) => state.set({ server: cell.row, tool: cell.column }, { view: "calls", push: true }),
    }),
  );
  plainTable(
    panel,
    cells.map((cell) => [`${cell.row} / ${cell.column}`, shown(cell.value, panel.def.unit), cell.value]),
  );
}

/** @param {Panel} panel */
export function drawLatencyHeat(panel, width) {
  const { from, to } = panel.window;
  const series = deCumulate(panel.answers[0].map((one) => ({ ...one, values: one.values || [one.value] })));
  const { times, rows } = align(series, panel.window);
  const names = series.map((one) => (one.metric.le === "+Inf" ? "more" : `≤ ${shown(Number(one.metric.le), "s")}`));
  const drawn = latencyHeat({
    rows,
    names,
    times,
    width,
    height: panel.context.tall(panel.def),
    from,
    to,
    label: panel.def.title,
  });
  panel.body.replaceChildren(drawn.svg);
  panel.chart = {
    times,
    rows,
    series: series.map((one, i) => ({ name: names[i], labels: one.metric })),
    colours: names.map((_, i) => heat(i / names.length).fill),
    visible: names.map(() => true),
    axes: drawn.axes,
    svg: drawn.svg,
    heightAt: null,
  };
  hover(panel, drawn.svg);
  plainTable(
    panel,
    names.map((name, i) => [
      name,
      short(rows[i].reduce((sum, number) => sum + (Number.isFinite(number) ? number : 0), 0)),
    ]),
  );
}

/** @param {Panel} panel */
export function drawHistogram(panel, width) {
  const colours = theme();
  const sets = panel.def.queries.map((asked, index) => {
    const own = deCumulate(panel.answers[index].map((one) => ({ ...one, values: [one.value || one.values.at(-1)] })));
    return { name: (asked.legend || "").split(/[\s≤<{]/)[0] || `query ${index + 1}`, own };
  });
  const les = [...new Set(sets.flatMap((set) => set.own.map((one) => one.metric.le)))].sort(
    (a, b) => bound(a) - bound(b),
  );
  const groups = les.map((le) => (le === "+Inf" ? "more" : `≤ ${shown(Number(le), "s")}`));
  const ready = sets.map((set) => ({
    name: set.name,
    values: les.map((le) => Number(set.own.find((one) => one.metric.le === le)?.value[1] ?? 0)),
  }));
  if (!ready.some((set) => set.values.some((number) => number > 0))) {
    panel.drawEmpty();
    return;
  }
  const label = `${panel.def.title}: ${ready.map((set) => `${set.name} ${set.values.reduce((a, b) => a + b, 0).toFixed(0)}`).join(", ")}`;
  const tones = ready.map((set, index) => colours.palette[MEANING[set.name]] || colours.wheel[index]);
  panel.body.replaceChildren(
    bars({ groups, sets: ready, unit: "short", width, height: panel.context.tall(panel.def), label, colours: tones }),
  );
  plainTable(
    panel,
    ready.flatMap((set) =>
      groups.map((group, index) => [`${set.name} ${group}`, short(set.values[index]), set.values[index]]),
    ),
  );
  panel.legend.replaceChildren(
    ...ready.map((set, index) =>
      h(
        "span",
        { class: "legend-item still" },
        key(tones[index]),
        h("span", { class: "legend-name" }, set.name),
        h("span", { class: "legend-value" }, short(Math.round(set.values.reduce((a, b) => a + b, 0)))),
      ),
    ),
  );
}

/** @param {Panel} panel */
export function drawEvents(panel, width) {
  const { from, to } = panel.window;
  const series = panel.series();
  const busy =
    series.length > MOST_LINES
      ? [...series].sort((a, b) => b.values.length - a.values.length).slice(0, MOST_LINES)
      : series;
  const colours = panel.colour(busy);
  const lines = busy.map(({ name, values }) => ({
    name,
    points: panel.fromCalls ? together(values, (to - from) / 90) : happenings(values, panel.window),
  }));
  const drawn = events({
    lines,
    colours,
    width,
    from,
    to,
    label: `${panel.def.title}: ${lines.map((line) => `${line.name} ${line.points.length ? "had events" : "had none"}`).join(", ")}`,
    unit: panel.def.unit,
  });
  panel.body.replaceChildren(drawn.svg);
  panel.chart = { series, ...drawn, times: [], rows: [], visible: [], colours };
  hover(panel, drawn.svg, false);
  plainTable(
    panel,
    lines.map((line) => [
      line.name,
      `${short(line.points.reduce((sum, point) => sum + point.value, 0))} in ${line.points.length} spells`,
    ]),
  );
  const more = series.length - busy.length;
  if (more) panel.legend.append(h("span", { class: "legend-item still muted" }, `${more} more had fewer events`));
}
