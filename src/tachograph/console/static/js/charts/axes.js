// The frame that time charts share: scales, grid lines, ticks.

import { theme } from "../colours.js";
import { s } from "../dom.js";
import { clock, tickLabels, ticks, timeTicks } from "../format.js";
import { label, scale, textWidth, widest } from "./text.js";

/** Scales and drawn axes for a plot of this size. `high` is the largest value shown. */
export function frame({ width, height, from, to, low = 0, high, unit, left = null }) {
  const colours = theme();
  const valueTicks = ticks(low, high || 1, Math.max(2, Math.floor(height / (46 * scale()))));
  const top = Math.max(high || 1, valueTicks.at(-1) ?? 1);
  const labels = tickLabels(valueTicks, unit);
  const margin = left ?? Math.ceil(widest(labels, 11)) + 12;
  const plot = { left: margin, right: width - 8, top: 8, bottom: height - Math.round(22 * scale()) };
  const x = (time) => plot.left + ((time - from) / (to - from)) * (plot.right - plot.left);
  const y = (number) => plot.bottom - ((number - low) / (top - low)) * (plot.bottom - plot.top);
  const grid = s("g", { fill: colours.muted });
  valueTicks.forEach((tick, index) => {
    const at = y(tick).toFixed(1);
    const stroke = tick === 0 ? colours.axis : colours.grid;
    grid.append(
      s("line", { x1: plot.left, x2: plot.right, y1: at, y2: at, stroke }),
      label({ x: plot.left - 7, y: at, dy: "0.33em", "text-anchor": "end" }, labels[index]),
    );
  });
  grid.append(timeAxis({ plot, from, to, x }));
  return { plot, x, y, grid, top, low };
}

export function timeAxis({ plot, from, to, x, lines = true }) {
  const colours = theme();
  const axis = s("g", { fill: colours.muted });
  const wide = textWidth(clock(from, to - from), 11);
  const found = timeTicks(from, to, Math.max(2, Math.floor((plot.right - plot.left) / (wide + 40))));
  const span = found[1] - found[0] < 60 ? 60 : to - from; // ticks of one minute need seconds to differ
  for (const tick of found) {
    const at = x(tick);
    const [x1, y1, y2] = [at.toFixed(1), plot.top, plot.bottom];
    if (lines) axis.append(s("line", { x1, x2: x1, y1, y2, stroke: colours.grid }));
    if (at > plot.left + wide / 2 - 8 && at < plot.right - wide / 2 + 8) {
      const down = plot.bottom + Math.round(15 * scale());
      axis.append(label({ x: x1, y: down, "text-anchor": "middle" }, clock(tick, span)));
    }
  }
  return axis;
}

export function svgRoot(width, height, name) {
  const viewBox = `0 0 ${width} ${height}`;
  return s("svg", {
    xmlns: "http://www.w3.org/2000/svg",
    width,
    height,
    viewBox,
    role: "img",
    "aria-label": name,
  });
}
