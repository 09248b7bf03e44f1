// The charts that are not lines: matrix, gauges, histogram, events, latency heat.

import { s } from "../dom.js";
import { heat, theme } from "../colours.js";
import { ticks, value as shown } from "../format.js";
import { FONT, svgRoot, timeAxis } from "./axes.js";

const clip = (text, width, size = 6.6) =>
  text.length * size > width ? `${text.slice(0, Math.max(1, Math.floor(width / size) - 1))}…` : text;

/** One tile per cell, rows by `row`, coloured by value on a logarithmic scale between the marks. */
export function matrix({ cells, unit, width, marks, label, onpick }) {
  const rows = [...new Set(cells.map((cell) => cell.row))].sort();
  const margin = Math.min(170, Math.max(60, ...rows.map((row) => row.length * 6.9 + 14)));
  const tall = 46;
  const svg = svgRoot(width, Math.max(1, rows.length) * tall + 4, label);
  const low = Math.log(marks?.[0] || 0.05);
  const high = Math.log(marks?.[1] || 10);
  rows.forEach((row, line) => {
    const own = cells.filter((cell) => cell.row === row).sort((a, b) => (a.column < b.column ? -1 : 1));
    const wide = (width - margin) / own.length;
    svg.append(
      s(
        "text",
        {
          x: margin - 12,
          y: line * tall + tall / 2,
          dy: "0.35em",
          "text-anchor": "end",
          fill: theme().muted,
          "font-size": 12.5,
          "font-family": FONT,
        },
        clip(row, margin - 12, 6.9),
      ),
    );
    own.forEach((cell, index) => {
      const known = Number.isFinite(cell.value);
      const colour = known
        ? heat((Math.log(Math.max(cell.value, 1e-6)) - low) / (high - low))
        : { fill: theme().track, text: theme().muted };
      const left = margin + index * wide;
      const group = s(
        "g",
        { "font-family": FONT, fill: colour.text },
        s("title", {}, `${row} / ${cell.column}: ${shown(cell.value, unit)}`),
        s("rect", {
          x: left + 1.5,
          y: line * tall + 1.5,
          width: Math.max(1, wide - 3),
          height: tall - 3,
          rx: 4,
          fill: colour.fill,
        }),
        s("text", { x: left + 11, y: line * tall + 18, "font-size": 11.5 }, clip(cell.column, wide - 18, 6.2)),
        s(
          "text",
          { x: left + 11, y: line * tall + 35, "font-size": 13, "font-weight": 650 },
          known ? shown(cell.value, unit) : "no calls",
        ),
      );
      if (onpick) group.addEventListener("click", () => onpick(cell));
      svg.append(group);
    });
  });
  return svg;
}

function arc(cx, cy, radius, from, to) {
  const point = (share) => {
    const angle = Math.PI * (1 + share);
    return `${(cx + radius * Math.cos(angle)).toFixed(2)} ${(cy + radius * Math.sin(angle)).toFixed(2)}`;
  };
  return `M${point(from)}A${radius} ${radius} 0 0 1 ${point(to)}`;
}

/** Half-round gauges, one per item; red at zero. */
export function gauges({ items, unit, width, label }) {
  const per = Math.max(1, Math.min(items.length, Math.floor(width / 132)));
  const wide = width / per;
  const radius = Math.max(40, Math.min(items.length > per ? 52 : 78, wide / 2 - 16));
  const tall = radius + 54;
  const top = Math.max(1, ...items.map((item) => item.value)) * 1.25;
  const svg = svgRoot(width, Math.ceil(items.length / per) * tall + 4, label);
  items.forEach((item, index) => {
    const cx = (index % per) * wide + wide / 2;
    const cy = Math.floor(index / per) * tall + radius + 14;
    const colour = item.value > 0 ? theme().good : theme().bad;
    svg.append(
      s("path", {
        d: arc(cx, cy, radius, 0, 1),
        fill: "none",
        stroke: theme().track,
        "stroke-width": 11,
        "stroke-linecap": "round",
      }),
      s("path", {
        d: arc(cx, cy, radius, 0, item.value > 0 ? Math.max(0.02, Math.min(1, item.value / top)) : 0.001),
        fill: "none",
        stroke: colour,
        "stroke-width": 11,
        "stroke-linecap": "round",
      }),
      s(
        "text",
        {
          x: cx,
          y: cy - 2,
          "text-anchor": "middle",
          "font-size": Math.round(radius * 0.5),
          "font-weight": 650,
          fill: item.value > 0 ? theme().text : theme().bad,
          "font-family": FONT,
        },
        shown(item.value, unit),
      ),
      s(
        "text",
        { x: cx, y: cy + 22, "text-anchor": "middle", "font-size": 12, fill: theme().muted, "font-family": FONT },
        clip(item.name, wide - 8),
      ),
    );
  });
  return svg;
}

/** Grouped bars: `groups` along the x axis, one bar per set. */
export function bars({ groups, sets, unit, width, height, label, colours }) {
  const high = Math.max(1e-9, ...sets.flatMap((set) => set.values.filter(Number.isFinite)));
  const scale = ticks(0, high, Math.max(2, Math.floor(height / 46)));
  const top = Math.max(high, scale.at(-1));
  const margin = Math.max(36, ...scale.map((tick) => shown(tick, unit).length * 6.6 + 12));
  const plot = { left: margin, right: width - 6, top: 8, bottom: height - 24 };
  const y = (number) => plot.bottom - (number / top) * (plot.bottom - plot.top);
  const svg = svgRoot(width, height, label);
  const text = { "font-size": 11, fill: theme().muted, "font-family": FONT };
  for (const tick of scale) {
    svg.append(
      s("line", {
        x1: plot.left,
        x2: plot.right,
        y1: y(tick),
        y2: y(tick),
        stroke: tick ? theme().grid : theme().axis,
      }),
      s("text", { ...text, x: plot.left - 7, y: y(tick), dy: "0.33em", "text-anchor": "end" }, shown(tick, unit)),
    );
  }
  const wide = (plot.right - plot.left) / groups.length;
  const bar = Math.min(34, (wide * 0.78) / sets.length);
  groups.forEach((group, index) => {
    const middle = plot.left + wide * (index + 0.5);
    svg.append(s("text", { ...text, x: middle, y: plot.bottom + 16, "text-anchor": "middle" }, clip(group, wide, 6)));
    sets.forEach((set, place) => {
      const number = set.values[index];
      if (!(number > 0)) return;
      svg.append(
        s(
          "rect",
          {
            x: middle + (place - sets.length / 2) * bar + 1,
            y: y(number),
            width: Math.max(1, bar - 2),
            height: Math.max(1, plot.bottom - y(number)),
            rx: 2,
            fill: colours[place],
          },
          s("title", {}, `${set.name}, ${group}: ${shown(number, unit)}`),
        ),
      );
    });
  });
  return svg;
}

/** Events on a line per name: a dot where something happened, larger for more. */
export function events({ lines, colours, width, from, to, label, unit }) {
  const margin = Math.min(190, Math.max(70, ...lines.map(({ name }) => name.length * 6.5 + 14)));
  const tall = Math.max(26, Math.min(38, 190 / Math.max(1, lines.length)));
  const height = lines.length * tall + 36;
  const plot = { left: margin, right: width - 10, top: 6, bottom: height - 24 };
  const x = (time) => plot.left + ((time - from) / (to - from)) * (plot.right - plot.left);
  const svg = svgRoot(width, height, label);
  svg.append(timeAxis({ plot, from, to, x }));
  const high = Math.max(1, ...lines.flatMap((line) => line.points.map((point) => point.value)));
  lines.forEach((line, index) => {
    const y = plot.top + tall * (index + 0.5);
    svg.append(
      s("line", { x1: plot.left, x2: plot.right, y1: y, y2: y, stroke: theme().grid }),
      s(
        "text",
        {
          x: margin - 12,
          y,
          dy: "0.35em",
          "text-anchor": "end",
          "font-size": 12,
          fill: theme().text,
          "font-family": FONT,
        },
        clip(line.name, margin - 14, 6.5),
      ),
    );
    for (const point of line.points) {
      svg.append(
        s(
          "circle",
          {
            cx: x(point.time).toFixed(1),
            cy: y,
            r: (3.2 + Math.sqrt(point.value / high) * (tall * 0.28)).toFixed(1),
            fill: colours[index],
            "fill-opacity": 0.62,
            stroke: colours[index],
          },
          s("title", {}, `${line.name}: ${shown(point.value, unit)}`),
        ),
      );
    }
  });
  return { svg, axes: { plot, x } };
}

/** Counts per latency bucket over time, darker for more. `rows` are not cumulated, lowest bucket first. */
export function latencyHeat({ rows, names, times, width, height, from, to, label }) {
  const margin = Math.max(44, ...names.map((name) => name.length * 6.4 + 12));
  const plot = { left: margin, right: width - 8, top: 6, bottom: height - 22 };
  const x = (time) => plot.left + ((time - from) / (to - from)) * (plot.right - plot.left);
  const tall = (plot.bottom - plot.top) / Math.max(1, rows.length);
  const svg = svgRoot(width, height, label);
  svg.append(timeAxis({ plot, from, to, x, lines: false }));
  const step = times.length > 1 ? times[1] - times[0] : 60;
  const wide = Math.max(1.2, (plot.right - plot.left) / Math.max(1, (to - from) / step) + 0.3);
  let high = 0;
  for (const row of rows) for (const number of row) if (number > high && Number.isFinite(number)) high = number;
  const levels = Array.from({ length: 12 }, () => "");
  rows.forEach((row, index) => {
    const top = plot.bottom - tall * (index + 1);
    for (let i = 0; i < row.length; i += 1) {
      if (!(row[i] > high * 0.001)) continue;
      const level = Math.min(11, Math.floor(Math.sqrt(row[i] / high) * 12));
      levels[level] +=
        `M${(x(times[i]) - wide / 2).toFixed(1)} ${(top + 0.5).toFixed(1)}h${wide.toFixed(1)}v${(tall - 1).toFixed(1)}h-${wide.toFixed(1)}z`;
    }
    if (rows.length <= 14 || index % 2 === 0) {
      svg.append(
        s(
          "text",
          {
            x: margin - 8,
            y: top + tall / 2,
            dy: "0.33em",
            "text-anchor": "end",
            "font-size": 11,
            fill: theme().muted,
            "font-family": FONT,
          },
          names[index],
        ),
      );
    }
  });
  levels.forEach((path, level) => {
    if (path) svg.append(s("path", { d: path, fill: heat(0.08 + (level / 12) * 0.85).fill }));
  });
  return { svg, axes: { plot, x } };
}
