// Lines, stacked areas and stacked bars over time. Draws plain SVG with attributes only, so that it exports as it looks.

import { s } from "../dom.js";
import { named, theme } from "../colours.js";
import { frame, svgRoot } from "./axes.js";

/** Values of each series on one row of times; gaps are NaN. */
export function align(result, { from, to, step }) {
  const count = Math.floor((to - from) / step + 1e-6) + 1;
  const times = Float64Array.from({ length: count }, (_, index) => from + index * step);
  const rows = result.map(({ values }) => {
    const row = new Float64Array(count).fill(NaN);
    for (const [time, text] of values) {
      const index = Math.min(count - 1, Math.round((time - from) / step));
      if (index >= 0) row[index] = Number(text);
    }
    return row;
  });
  return { times, rows };
}

export function stack(rows, shownOnes) {
  const count = rows[0]?.length || 0;
  const known = Array.from({ length: count }, (_, i) => rows.some((row) => Number.isFinite(row[i])));
  let below = new Float64Array(count);
  return rows.map((row, index) => {
    if (!shownOnes[index]) return null;
    const above = new Float64Array(count);
    for (let i = 0; i < count; i += 1) above[i] = below[i] + (Number.isFinite(row[i]) ? row[i] : 0);
    const layer = { below, above, known };
    below = above;
    return layer;
  });
}

const ENOUGH = 20;

/** How many calls a value is of. Fewer than ENOUGH give no quantile: their slowest is drawn as a point. */
function countAt(counts, time, step) {
  for (const [at, n] of counts) if (Math.abs(at - time) < step / 2) return n;
  return 0;
}

function linePath(times, row, x, y) {
  let path = "";
  let open = false;
  for (let i = 0; i < row.length; i += 1) {
    const number = row[i];
    if (!Number.isFinite(number)) {
      open = false;
      continue;
    }
    path += `${open ? "L" : "M"}${x(times[i]).toFixed(1)} ${y(number).toFixed(1)}`;
    open = true;
  }
  return path;
}

/** A layer of a stack; where no series has a value there is nothing to draw, which is not zero. A layer at zero has no edge. */
export function areaPath(times, { below, above, known }, x, y) {
  const isFlat = (i) => !known[i] || above[i] === below[i];
  let [area, edge, up, down] = ["", "", "", ""];
  let isDrawn = false;
  for (let i = 0; i <= above.length; i += 1) {
    if (i < above.length && known[i]) {
      const at = x(times[i]).toFixed(1);
      const point = `${at} ${y(above[i]).toFixed(1)}`;
      up += `${up ? "L" : "M"}${point}`;
      down = `L${at} ${y(below[i]).toFixed(1)}${down}`;
      const isEdge = !isFlat(i) || !isFlat(i - 1) || !isFlat(i + 1);
      if (isEdge) edge += `${isDrawn ? "L" : "M"}${point}`;
      isDrawn = isEdge;
    } else if (up) {
      area += `${up}${down}Z`;
      [up, down, isDrawn] = ["", "", false];
    }
  }
  return { area, edge };
}

/**
 * Draw a time chart.
 * @param {object} chart times, rows, colours, shown (booleans), mode "line"|"area"|"bars", stacked, unit, width, height,
 *   from, to, step (seconds that a bar stands for), thresholds [{value, colour}], label, events [{time, color, title}].
 * @returns {{svg: any, axes: any, heightAt: (index: number, at: number) => number}}
 */
export function timeseries(chart) {
  const { times, rows, colours, shown, mode, stacked, unit, width, height, from, to, label } = chart;
  const layers = stacked ? stack(rows, shown) : null;
  let high = 0;
  let low = 0;
  rows.forEach((row, index) => {
    if (!shown[index]) return;
    const values = layers ? layers[index].above : row;
    for (let i = 0; i < values.length; i += 1) {
      const number = values[i];
      if (number > high && number !== Infinity) high = number;
      if (number < low && number !== -Infinity) low = number;
    }
  });
  if (chart.minimum !== null && chart.minimum !== undefined) low = Math.max(low, chart.minimum);
  const limits = (chart.thresholds || []).filter(({ value }) => value <= high * 1.6 && value > 0);
  for (const { value } of limits) high = Math.max(high, value);
  const axes = frame({ width, height, from, to, low, high: high * 1.04, unit });
  const { plot, x, y } = axes;
  const svg = svgRoot(width, height, label);
  svg.append(axes.grid);
  const step = chart.step || (times.length > 1 ? times[1] - times[0] : 60);
  rows.forEach((row, index) => {
    if (!shown[index]) return;
    const colour = colours[index];
    if (mode === "bars") {
      const { below, above } = layers ? layers[index] : { below: new Float64Array(row.length), above: row };
      const wide = Math.max(1, ((plot.right - plot.left) / Math.max(1, (to - from) / step)) * 0.78);
      let path = "";
      for (let i = 0; i < above.length; i += 1) {
        const tall = y(below[i]) - y(above[i]);
        const left = Math.max(plot.left, x(times[i]) - wide / 2);
        const own = Math.min(plot.right, x(times[i]) + wide / 2) - left;
        if (tall > 0.05 && own > 0)
          path += `M${left.toFixed(1)} ${y(above[i]).toFixed(1)}h${own.toFixed(1)}v${tall.toFixed(1)}h-${own.toFixed(1)}z`;
      }
      if (path) svg.append(s("path", { d: path, fill: colour, "fill-opacity": 0.88 }));
    } else if (layers) {
      const { area, edge } = areaPath(times, layers[index], x, y);
      if (area) {
        svg.append(
          s("path", { d: area, fill: colour, "fill-opacity": 0.52 }),
          s("path", { d: edge, fill: "none", stroke: colour, "stroke-width": 1.2, "stroke-linejoin": "round" }),
        );
      }
    } else {
      const counts = chart.few?.[index];
      const enough = counts ? row.map((number, i) => (countAt(counts, times[i], step) >= ENOUGH ? number : NaN)) : row;
      const path = linePath(times, enough, x, y);
      row.forEach((number, i) => {
        const alone =
          Number.isFinite(number) &&
          (counts ? !Number.isFinite(enough[i]) : !Number.isFinite(row[i - 1]) && !Number.isFinite(row[i + 1]));
        if (alone)
          svg.append(
            s("circle", {
              cx: x(times[i]).toFixed(1),
              cy: y(number).toFixed(1),
              r: 2.4,
              fill: colour,
              "fill-opacity": 0.75,
            }),
          );
      });
      if (path)
        svg.append(
          s("path", {
            d: path,
            fill: "none",
            stroke: colour,
            "stroke-dasharray": chart.dashes?.[index] || null,
            "stroke-width": 1.8,
            "stroke-linejoin": "round",
            "stroke-linecap": "round",
          }),
        );
    }
  });
  for (const { value, colour } of limits) {
    svg.append(
      s("line", {
        x1: plot.left,
        x2: plot.right,
        y1: y(value),
        y2: y(value),
        stroke: colour || theme().bad,
        "stroke-dasharray": "5 4",
        "stroke-width": 1.2,
      }),
    );
  }
  for (const { time, color, title } of chart.events || []) {
    if (time < from || time > to) continue;
    const line = { d: `M${x(time).toFixed(1)} ${plot.top}V${plot.bottom}`, "stroke-dasharray": "2 3", opacity: 0.75 };
    svg.append(s("path", { ...line, stroke: named(color) || theme().warn, class: "mark" }, s("title", {}, title)));
  }
  return { svg, axes, heightAt: (index, at) => (layers ? layers[index]?.above[at] : rows[index][at]) };
}

/** A small line with a filled foot, for the trend under a number; it fills the space there is. */
export function sparkline({ times, row, width, height, colour }) {
  const svg = s("svg", {
    width: "100%",
    height: "100%",
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    class: "sparkline",
    "aria-hidden": "true",
  });
  const finite = row.filter(Number.isFinite);
  if (finite.length < 2) return svg;
  const high = Math.max(...finite);
  const low = Math.min(0, ...finite);
  const span = times[times.length - 1] - times[0] || 1;
  const x = (time) => ((time - times[0]) / span) * width;
  const y = (number) => height - 2 - ((number - low) / (high - low || 1)) * (height - 5);
  let path = "";
  let first = null;
  let last = null;
  for (let i = 0; i < row.length; i += 1) {
    if (!Number.isFinite(row[i])) continue;
    path += `${path ? "L" : "M"}${x(times[i]).toFixed(1)} ${y(row[i]).toFixed(1)}`;
    first ??= x(times[i]);
    last = x(times[i]);
  }
  svg.append(
    s("path", {
      d: `${path}L${last.toFixed(1)} ${height}L${first.toFixed(1)} ${height}Z`,
      fill: colour,
      "fill-opacity": 0.16,
    }),
    s("path", {
      d: path,
      fill: "none",
      stroke: colour,
      "stroke-width": 1.6,
      "stroke-linejoin": "round",
      "vector-effect": "non-scaling-stroke",
    }),
  );
  return svg;
}
