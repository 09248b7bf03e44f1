// The pointer over a panel: one crosshair for all charts, the values beside it, and dragging to zoom.

import { theme } from "../colours.js";
import { moveCursor } from "../cursor.js";
import { announce, h, key, s } from "../dom.js";
import { moment, shorten, value as shown } from "../format.js";
import * as state from "../state.js";

/** @typedef {import("../panel.js").Panel} Panel */

/** @param {Panel} panel */
export function hover(panel, svg, tips = true) {
  const { plot } = panel.chart.axes;
  const { from, to } = panel.window;
  const timeAt = (event) => {
    const box = svg.getBoundingClientRect();
    const at = (event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width);
    return (
      from + ((Math.min(plot.right, Math.max(plot.left, at)) - plot.left) / (plot.right - plot.left)) * (to - from)
    );
  };
  panel.cursorLayer = s("g", { "pointer-events": "none" });
  svg.append(panel.cursorLayer);
  let began = null;
  let mark = null;
  svg.addEventListener("pointermove", (event) => {
    const time = timeAt(event);
    panel.hovered = tips;
    moveCursor(time);
    if (began !== null && mark) {
      const [a, b] = [began, time].map(
        (moment_) => plot.left + ((moment_ - from) / (to - from)) * (plot.right - plot.left),
      );
      mark.setAttribute("x", Math.min(a, b));
      mark.setAttribute("width", Math.abs(b - a));
    }
  });
  svg.addEventListener("pointerleave", () => {
    panel.hovered = false;
    hideTip(panel);
    moveCursor(null);
  });
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    began = timeAt(event);
    svg.setPointerCapture(event.pointerId);
    mark = s("rect", {
      y: plot.top,
      height: plot.bottom - plot.top,
      fill: theme().accent,
      "fill-opacity": 0.18,
      "pointer-events": "none",
    });
    svg.append(mark);
    event.preventDefault();
  });
  svg.addEventListener("pointerup", (event) => {
    if (began === null) return;
    const [a, b] = [began, timeAt(event)].sort((x, y) => x - y);
    began = null;
    mark?.remove();
    if (b - a > (to - from) / 100) state.set({ from: Math.round(a), to: Math.round(b), range: null }, { push: true });
  });
  svg.addEventListener("dblclick", () => panel.context.zoomOut());
}

/** @param {Panel} panel */
export function drawCursor(panel, time) {
  const layer = panel.cursorLayer;
  if (!layer || !panel.chart?.axes) return;
  layer.replaceChildren();
  if (time === null || time < panel.window.from || time > panel.window.to) return;
  const { axes, times, colours, visible, heightAt } = panel.chart;
  const { plot } = axes;
  const x = axes.x(time);
  layer.append(
    s("line", { x1: x, x2: x, y1: plot.top, y2: plot.bottom, stroke: theme().cursor, "stroke-dasharray": "3 3" }),
  );
  if (heightAt && times.length) {
    const at = Math.min(times.length - 1, Math.max(0, Math.round((time - times[0]) / panel.chart.step)));
    visible.forEach((isShown, index) => {
      const height = isShown ? heightAt(index, at) : NaN;
      if (Number.isFinite(height))
        layer.append(
          s("circle", {
            cx: axes.x(times[at]),
            cy: axes.y(height),
            r: 3.2,
            fill: colours[index],
            stroke: theme().surface,
          }),
        );
    });
  }
  if (panel.hovered) showTip(panel, time, x);
}

/** @param {Panel} panel */
function showTip(panel, time, x) {
  const { times, rows, series, colours, visible } = panel.chart;
  if (!times.length) return;
  const step = times.length > 1 ? times[1] - times[0] : 1;
  const at = Math.min(times.length - 1, Math.max(0, Math.round((time - times[0]) / step)));
  const lines = series
    .map((one, index) => ({ name: one.name, number: rows[index][at], colour: colours[index], shown: visible[index] }))
    .filter((line) => line.shown && Number.isFinite(line.number))
    .sort((a, b) => (panel.def.stacked || panel.def.queries[0].buckets ? 0 : b.number - a.number));
  const kept = lines.slice(0, 14);
  if (!panel.tip) panel.body.append((panel.tip = h("div", { class: "tip", "aria-hidden": "true" })));
  else if (!panel.tip.isConnected) panel.body.append(panel.tip);
  const unit = panel.def.kind === "heatmap" ? "short" : panel.def.unit;
  panel.tip.replaceChildren(
    h("div", { class: "tip-time" }, moment(times[at])),
    ...kept.map((line) =>
      h(
        "div",
        { class: "tip-line" },
        key(line.colour),
        h(
          "span",
          {},
          shorten(
            line.name || "value",
            44,
            panel.chart.series.map((one) => one.name),
          ),
        ),
        h("b", {}, shown(line.number, unit)),
      ),
    ),
    lines.length > kept.length ? h("div", { class: "muted" }, `and ${lines.length - kept.length} more`) : "",
  );
  const wide = panel.tip.offsetWidth;
  const space = panel.body.clientWidth;
  panel.tip.style.left = `${Math.max(0, x + 16 + wide > space ? x - wide - 16 : x + 16)}px`;
}

/** @param {Panel} panel */
function hideTip(panel) {
  panel.tip?.remove();
}
