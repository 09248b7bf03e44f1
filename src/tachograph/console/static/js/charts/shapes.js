// The charts that are not lines: matrix, gauges, histogram, events, latency heat.

import { heat, theme } from "../colours.js";
import { s } from "../dom.js";
import { ticks, value as shown } from "../format.js";
import { svgRoot, timeAxis } from "./axes.js";
import { fit, label, scale, widest } from "./text.js";

/** From this share of failed calls on, a cell says that its tool fails: a failure is fast, and would look calm. */
const FAILING = 0.05;

/** One tile per cell, rows by `row`, coloured by value on a logarithmic scale between the marks. */
export function matrix({ cells, unit, width, marks, label: name, onpick }) {
  const colours = theme();
  const rows = [...new Set(cells.map((cell) => cell.row))].sort();
  const margin = Math.min(width * 0.25, widest(rows, 12.5) + 14);
  const tall = Math.round(46 * scale());
  const lines = rows.map((row) =>
    cells.filter((cell) => cell.row === row).sort((a, b) => (a.column < b.column ? -1 : 1)),
  );
  const per = Math.max(1, Math.floor((width - margin) / (96 * scale())));
  const heights = lines.map((own) => Math.ceil(own.length / per) * tall);
  const svg = svgRoot(
    width,
    heights.reduce((sum, one) => sum + one, 4),
    name,
  );
  const low = Math.log(marks?.[0] || 0.05);
  const high = Math.log(marks?.[1] || 10);
  let top = 0;
  rows.forEach((row, line) => {
    const own = lines[line];
    const columns = own.map((cell) => cell.column);
    const wide = (width - margin) / Math.min(per, own.length);
    const side = { x: margin - 12, y: top + tall / 2, dy: "0.35em", "text-anchor": "end", fill: colours.muted };
    svg.append(label(side, fit(row, margin - 12, 12.5, 400, rows), 12.5));
    own.forEach((cell, index) => {
      const isKnown = Number.isFinite(cell.value);
      const share = (Math.log(Math.max(cell.value, 1e-6)) - low) / (high - low);
      const colour = isKnown ? heat(share) : { fill: colours.track, text: colours.muted };
      const failing = cell.failed / cell.n >= FAILING ? `${Math.round((cell.failed / cell.n) * 100)} % fail` : "";
      const left = margin + (index % per) * wide;
      const up = top + Math.floor(index / per) * tall;
      const text = isKnown ? shown(cell.value, unit) : "no calls";
      const group = s(
        "g",
        { fill: colour.text },
        s("title", {}, `${row} / ${cell.column}: ${text}${failing ? `, ${failing}` : ""}`),
        s("rect", {
          x: left + 1.5,
          y: up + 1.5,
          width: Math.max(1, wide - 3),
          height: tall - 3,
          rx: 4,
          fill: colour.fill,
        }),
        label({ x: left + 11, y: up + tall * 0.4 }, fit(cell.column, wide - 18, 11.5, 400, columns), 11.5),
        label({ x: left + 11, y: up + tall * 0.78, "font-weight": 650 }, fit(text, wide - 18, 13, 650), 13),
      );
      if (failing) {
        const room = wide - 24 - widest([text], 13, 650);
        const at = { x: left + wide - 11, y: up + tall * 0.78, "text-anchor": "end", "font-weight": 650 };
        group.append(
          s("rect", {
            x: left + 2.5,
            y: up + 2.5,
            width: Math.max(1, wide - 5),
            height: tall - 5,
            rx: 4,
            fill: "none",
            stroke: colours.bad,
            "stroke-width": 2,
          }),
          label(
            at,
            [failing, failing.replace(" fail", ""), ""].find((one) => widest([one], 11.5, 650) <= room),
            11.5,
          ),
        );
      }
      if (onpick) group.addEventListener("click", () => onpick(cell));
      svg.append(group);
    });
    top += heights[line];
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
export function gauges({ items, unit, width, label: name }) {
  const colours = theme();
  const per = Math.max(1, Math.min(items.length, Math.floor(width / (132 * scale()))));
  const wide = width / per;
  const radius = Math.max(40, Math.min(items.length > per ? 52 : 78, wide / 2 - 16));
  const tall = radius + 54 * scale();
  const top = Math.max(1, ...items.map((item) => item.value)) * 1.25;
  const svg = svgRoot(width, Math.ceil(items.length / per) * tall + 4, name);
  items.forEach((item, index) => {
    const cx = (index % per) * wide + wide / 2;
    const cy = Math.floor(index / per) * tall + radius + 14;
    const isUp = item.value > 0;
    const line = { fill: "none", "stroke-width": 11, "stroke-linecap": "round" };
    const share = isUp ? Math.max(0.02, Math.min(1, item.value / top)) : 0.001;
    const middle = { x: cx, "text-anchor": "middle" };
    svg.append(
      s("path", { ...line, d: arc(cx, cy, radius, 0, 1), stroke: colours.track }),
      s("path", { ...line, d: arc(cx, cy, radius, 0, share), stroke: isUp ? colours.good : colours.bad }),
      label(
        { ...middle, y: cy - 2, "font-weight": 650, fill: isUp ? colours.text : colours.bad },
        shown(item.value, unit),
        (radius * 0.5) / scale(),
      ),
      label({ ...middle, y: cy + 22 * scale(), fill: colours.muted }, fit(item.name, wide - 8, 12), 12),
    );
  });
  return svg;
}

/** Grouped bars: `groups` along the x axis, one bar per set. */
export function bars({ groups, sets, unit, width, height, label: name, colours }) {
  const high = Math.max(1e-9, ...sets.flatMap((set) => set.values.filter(Number.isFinite)));
  const steps = ticks(0, high, Math.max(2, Math.floor(height / (46 * scale()))));
  const top = Math.max(high, steps.at(-1));
  const margin =
    widest(
      steps.map((tick) => shown(tick, unit)),
      11,
    ) + 12;
  const plot = { left: margin, right: width - 6, top: 8, bottom: height - 24 * scale() };
  const y = (number) => plot.bottom - (number / top) * (plot.bottom - plot.top);
  const svg = svgRoot(width, height, name);
  const fill = theme().muted;
  for (const tick of steps) {
    const at = { x1: plot.left, x2: plot.right, y1: y(tick), y2: y(tick) };
    svg.append(
      s("line", { ...at, stroke: tick ? theme().grid : theme().axis }),
      label({ fill, x: plot.left - 7, y: y(tick), dy: "0.33em", "text-anchor": "end" }, shown(tick, unit)),
    );
  }
  const wide = (plot.right - plot.left) / groups.length;
  const bar = Math.min(34, (wide * 0.78) / sets.length);
  const every = Math.max(1, Math.ceil((widest(groups, 11) + 8) / wide));
  groups.forEach((group, index) => {
    const middle = plot.left + wide * (index + 0.5);
    const at = { fill, x: middle, y: plot.bottom + 16 * scale(), "text-anchor": "middle" };
    if (index % every === 0) svg.append(label(at, fit(group, wide * every, 11)));
    sets.forEach((set, place) => {
      const number = set.values[index];
      if (!(number > 0)) return;
      const left = middle + (place - sets.length / 2) * bar + 1;
      const tall = Math.max(1, plot.bottom - y(number));
      svg.append(
        s(
          "rect",
          { x: left, y: y(number), width: Math.max(1, bar - 2), height: tall, rx: 2, fill: colours[place] },
          s("title", {}, `${set.name}, ${group}: ${shown(number, unit)}`),
        ),
      );
    });
  });
  return svg;
}

/** Events on a line per name: a dot where something happened, larger for more. */
export function events({ lines, colours, width, from, to, label: name, unit }) {
  const margin = Math.min(
    width * 0.35,
    widest(
      lines.map((line) => line.name),
      12,
    ) + 16,
  );
  const tall = Math.max(26, Math.min(38, 190 / Math.max(1, lines.length))) * scale();
  const height = lines.length * tall + 36;
  const plot = { left: margin, right: width - 10, top: 6, bottom: height - 24 };
  const x = (time) => plot.left + ((time - from) / (to - from)) * (plot.right - plot.left);
  const svg = svgRoot(width, height, name);
  const names = lines.map((line) => line.name);
  svg.append(timeAxis({ plot, from, to, x }));
  const high = Math.max(1, ...lines.flatMap((line) => line.points.map((point) => point.value)));
  lines.forEach((line, index) => {
    const y = plot.top + tall * (index + 0.5);
    const side = { x: margin - 12, y, dy: "0.35em", "text-anchor": "end", fill: theme().text };
    svg.append(
      s("line", { x1: plot.left, x2: plot.right, y1: y, y2: y, stroke: theme().grid }),
      label(side, fit(line.name, margin - 14, 12, 400, names), 12),
    );
    for (const point of line.points) {
      const r = (3.2 + Math.sqrt(point.value / high) * (tall * 0.28)).toFixed(1);
      svg.append(
        s(
          "circle",
          {
            cx: x(point.time).toFixed(1),
            cy: y,
            r,
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
export function latencyHeat({ rows, names, times, width, height, from, to, label: name }) {
  const margin = widest(names, 11) + 14;
  const plot = { left: margin, right: width - 8, top: 6, bottom: height - 22 * scale() };
  const x = (time) => plot.left + ((time - from) / (to - from)) * (plot.right - plot.left);
  const tall = (plot.bottom - plot.top) / Math.max(1, rows.length);
  const svg = svgRoot(width, height, name);
  svg.append(timeAxis({ plot, from, to, x, lines: false }));
  const step = times.length > 1 ? times[1] - times[0] : 60;
  const wide = Math.max(1.2, (plot.right - plot.left) / Math.max(1, (to - from) / step) + 0.3);
  let high = 0;
  for (const row of rows) for (const number of row) if (number > high && Number.isFinite(number)) high = number;
  const levels = Array.from({ length: 12 }, () => "");
  const every = Math.max(1, Math.ceil((14 * scale()) / tall));
  rows.forEach((row, index) => {
    const top = plot.bottom - tall * (index + 1);
    for (let i = 0; i < row.length; i += 1) {
      if (!(row[i] > high * 0.001)) continue;
      const level = Math.min(11, Math.floor(Math.sqrt(row[i] / high) * 12));
      const [left, size] = [(x(times[i]) - wide / 2).toFixed(1), wide.toFixed(1)];
      levels[level] += `M${left} ${(top + 0.5).toFixed(1)}h${size}v${(tall - 1).toFixed(1)}h-${size}z`;
    }
    if (index % every === 0) {
      const side = { x: margin - 8, y: top + tall / 2, dy: "0.33em", "text-anchor": "end", fill: theme().muted };
      svg.append(label(side, names[index]));
    }
  });
  levels.forEach((path, level) => {
    if (path) svg.append(s("path", { d: path, fill: heat(0.08 + (level / 12) * 0.85).fill }));
  });
  return { svg, axes: { plot, x } };
}
