// A panel over time: lines, areas and bars; the largest of many series, and the others; exemplars as dots.

import { console_ } from "../api.js";
import { dashes, theme } from "../colours.js";
import { align, timeseries } from "../charts/timeseries.js";
import { h, s, toast } from "../dom.js";
import { moment, value as shown } from "../format.js";
import * as state from "../state.js";
import { drawLegend, isolated, summary } from "./legend.js";
import { hover } from "./pointer.js";
import { drawn } from "./reading.js";

/** @typedef {import("../panel.js").Panel} Panel */

const TOP = 12;
const TOP_LARGE = 60;

/** @param {Panel} panel */
export function drawLines(panel, width) {
  const { from, to, step } = panel.window;
  const all = panel.series();
  const aligned = align(all, panel.window);
  const { times } = aligned;
  const most = panel.context.isExpanded(panel.def.id) ? TOP_LARGE : TOP;
  const { series, rows, others, quiet } = drawn(all, aligned.rows, most, panel.def.stacked);
  const only = isolated(panel);
  const visible = series.map(({ name }) => !only || only.has(name));
  const colours = panel.colour(series);
  const height = panel.context.tall(panel.def);
  const mode = panel.def.bars ? "bars" : panel.def.stacked ? "area" : "line";
  const dashed = mode === "line" ? dashes(series) : null;
  const chart = timeseries({
    times,
    rows,
    colours,
    dashes: dashed,
    shown: visible,
    mode,
    stacked: panel.def.stacked,
    unit: panel.def.unit,
    width,
    height,
    from,
    to,
    thresholds: (panel.def.thresholds || []).filter(({ value }) => value !== null).map(({ value }) => ({ value })),
    events: panel.context.events?.() || [],
    label: summary(panel, series, rows),
    minimum: panel.def.minimum,
    few:
      panel.fromCalls && panel.def.queries[0].measure?.stat === "p95"
        ? series.map((one) => new Map(one.values.map(([time, , n]) => [time, n ?? 0])))
        : null,
  });
  panel.chart = { times, rows, series, colours, visible, step, dashes: dashed, ...chart };
  panel.body.replaceChildren(chart.svg);
  hover(panel, chart.svg);
  drawDots(panel, chart, series, colours, visible);
  drawLegend(panel, series, rows, colours, visible);
  if (others)
    panel.legend.append(
      h(
        "span",
        { class: "legend-item still muted" },
        `${others} smaller ones not drawn: choose a filter, or view large`,
      ),
    );
  if (quiet)
    panel.legend.append(
      h(
        "span",
        { class: "legend-item still muted" },
        series.length ? `${quiet} more at zero` : `All ${quiet} series at zero in this range`,
      ),
    );
}

/** Exemplars as dots; a click opens the call. The slowest of each stretch is kept, so that they stay few. @param {Panel} panel */
function drawDots(panel, { svg, axes }, series, colours, visible) {
  const { from, to } = panel.window;
  const kept = new Map();
  for (const dot of panel.dots) {
    const at = series.findIndex((one) => Object.entries(one.labels).every(([name, text]) => dot.labels[name] === text));
    if (at < 0 || !visible[at] || dot.time < from || dot.time > to || dot.value > axes.top) continue;
    const place = Math.round(((dot.time - from) / (to - from)) * 36);
    if (!(kept.get(place)?.value > dot.value)) kept.set(place, { ...dot, at });
  }
  for (const dot of kept.values()) {
    const [x, y] = [axes.x(dot.time), axes.y(dot.value)];
    svg.append(
      s(
        "path",
        {
          d: `M${x} ${y - 4}l4 4-4 4-4-4z`,
          fill: theme().surface,
          stroke: colours[dot.at],
          "stroke-width": 1.4,
          class: "exemplar",
          cursor: "pointer",
          onpointerdown: (event) => event.stopPropagation(),
          onclick: () => openTrace(dot.trace),
        },
        s(
          "title",
          {},
          `${series[dot.at].name}: ${shown(dot.value, panel.def.unit)} at ${moment(dot.time)}. Click to see its trace.`,
        ),
      ),
    );
  }
}

/** Show the call that a trace id stands for, where the console still has it. */
async function openTrace(trace) {
  try {
    const { calls } = await console_(`traces/${encodeURIComponent(trace)}`);
    if (!calls.length) throw new Error("no call of this trace is kept");
    state.set({ call: typeof calls[0] === "string" ? calls[0] : calls[0].id }, { view: "calls", push: true });
  } catch (error) {
    toast(`Trace ${trace.slice(0, 8)}…: ${error.message}`);
  }
}
