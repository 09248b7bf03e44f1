// The frame that time charts share: scales, grid lines, ticks.

import { s } from "../dom.js";
import { clock, ticks, timeTicks, value as shown } from "../format.js";
import { theme } from "../colours.js";

export const FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

/** Scales and drawn axes for a plot of this size. `high` is the largest value shown. */
export function frame({ width, height, from, to, low = 0, high, unit, left = null }) {
  const colours = theme();
  const valueTicks = ticks(low, high || 1, Math.max(2, Math.floor(height / 46)));
  const top = Math.max(high || 1, valueTicks.at(-1) ?? 1);
  const labels = valueTicks.map((tick) => shown(tick, unit));
  const margin = left ?? Math.min(84, Math.max(34, Math.max(...labels.map((label) => label.length)) * 6.6 + 12));
  const plot = { left: margin, right: width - 8, top: 8, bottom: height - 22 };
  const x = (time) => plot.left + ((time - from) / (to - from)) * (plot.right - plot.left);
  const y = (number) => plot.bottom - ((number - low) / (top - low)) * (plot.bottom - plot.top);
  const grid = s("g", { "font-size": 11, "font-family": FONT, fill: colours.muted });
  valueTicks.forEach((tick, index) => {
    const at = y(tick).toFixed(1);
    grid.append(
      s("line", { x1: plot.left, x2: plot.right, y1: at, y2: at, stroke: tick === 0 ? colours.axis : colours.grid }),
      s("text", { x: plot.left - 7, y: at, dy: "0.33em", "text-anchor": "end" }, labels[index]),
    );
  });
  grid.append(timeAxis({ plot, from, to, x }));
  return { plot, x, y, grid, top, low };
}

export function timeAxis({ plot, from, to, x, lines = true }) {
  const colours = theme();
  const axis = s("g", { "font-size": 11, "font-family": FONT, fill: colours.muted });
  for (const tick of timeTicks(from, to, Math.max(2, Math.floor((plot.right - plot.left) / 86)))) {
    const at = x(tick);
    if (lines)
      axis.append(
        s("line", { x1: at.toFixed(1), x2: at.toFixed(1), y1: plot.top, y2: plot.bottom, stroke: colours.grid }),
      );
    if (at > plot.left + 14 && at < plot.right - 14) {
      axis.append(
        s("text", { x: at.toFixed(1), y: plot.bottom + 15, "text-anchor": "middle" }, clock(tick, to - from)),
      );
    }
  }
  return axis;
}

export function svgRoot(width, height, label) {
  return s("svg", {
    xmlns: "http://www.w3.org/2000/svg",
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": label,
  });
}
