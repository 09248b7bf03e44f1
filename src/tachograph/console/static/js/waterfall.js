// A run or a trace as a tree with its waterfall: agents, LLM calls, tools, and the requests and waits of each call.

import { providerColour, theme } from "./colours.js";
import { h, roving, s, stopAt } from "./dom.js";
import { duration, short, tickLabels, ticks, usd } from "./format.js";

const WIDE = 560;
/** What the time takes of it; the rest is room for the length of a bar that ends last. */
const TRACK = 460;
const WORD = { llm: "llm", tool: "tool", wait: "wait", attempt: "try", agent: "agent", span: "span" };

function colourOf(row) {
  const { palette, bad, wait } = theme();
  if (row.failed) return bad;
  const own = { tool: palette.cyan, agent: palette.purple, attempt: providerColour(row.provider) };
  return row.kind === "llm" ? providerColour(row.provider) : own[row.kind] || wait;
}

function hatch(x, w, tone) {
  let path = "";
  for (let at = x; at < x + w - 1; at += 6) path += `M${at.toFixed(1)} 19L${Math.min(at + 5, x + w).toFixed(1)} 5`;
  return s(
    "g",
    {},
    s("rect", { x, y: 5, width: w, height: 14, rx: 2, fill: tone, "fill-opacity": 0.16 }),
    s("path", { d: path, stroke: tone, "stroke-width": 2, fill: "none" }),
  );
}

function factsOf(row) {
  const facts = [];
  if (row.input_tokens !== null) facts.push(`${short(row.input_tokens)} → ${short(row.output_tokens || 0)} tok`);
  if (row.cost_usd !== null) facts.push(usd(Number(row.cost_usd)));
  return facts.join(" · ");
}

/**
 * Rows of `runs/ID` as a table of bars.
 * @param {any[]} rows depth-first, each with its start and seconds.
 * @param {{chosen?: string, onpick?: (row: any) => void, own?: string}} options `own` is the call that was asked for.
 */
export function waterfall(rows, { chosen = "", onpick, own = "" } = {}) {
  const began = Math.min(...rows.map((row) => row.start));
  const length = Math.max(1e-6, ...rows.map((row) => row.start - began + row.seconds));
  const times = ticks(0, length, 4);
  const marks = tickLabels(times, "s").map((text, index) => {
    const mark = h("span", {}, text);
    mark.style.left = `${((times[index] / length) * TRACK * 100) / WIDE}%`;
    return mark;
  });
  const element = h(
    "div",
    { class: "waterfall", role: "table", "aria-label": "Waterfall" },
    h(
      "div",
      { class: "wf-row wf-head", role: "row" },
      h("span", { role: "columnheader" }, "Span"),
      h("span", { class: "wf-scale", role: "columnheader", "aria-label": "Time" }, marks),
    ),
    rows.map((row) => wfRow(row, began, length, { chosen, onpick, own })),
  );
  if (onpick) stopAt(roving(element, "button"), "button", element.querySelector(".own button"));
  return element;
}

function wfRow(row, began, length, { chosen, onpick, own }) {
  const x = ((row.start - began) / length) * TRACK;
  const w = Math.max(2, (row.seconds / length) * TRACK);
  const tone = colourOf(row);
  const bar = row.kind === "wait" ? hatch(x, w, tone) : s("rect", { x, y: 5, width: w, height: 14, rx: 3, fill: tone });
  const beside = h("span", { class: "wf-length" }, duration(row.seconds));
  beside.style.left = `calc(${((x + w) / WIDE) * 100}% + 7px)`;
  const isOwn = row.id === chosen || (own && row.call === own && row.kind !== "wait" && row.kind !== "attempt");
  const title = onpick
    ? h("button", { class: "wf-title linkish", onclick: () => onpick(row) }, row.name)
    : h("span", { class: "wf-title" }, row.name);
  const name = h(
    "span",
    {
      class: `wf-name${row.missing ? " muted" : ""}`,
      role: "cell",
    },
    h("span", { class: `tag ${row.kind}` }, WORD[row.kind] || row.kind),
    title,
    row.error ? h("span", { class: "pill bad" }, row.error) : null,
    h("span", { class: "muted small wf-facts" }, factsOf(row)),
  );
  name.style.paddingLeft = `${4 + 14 * Math.min(6, row.depth)}px`;
  const box = { viewBox: `0 0 ${WIDE} 24`, preserveAspectRatio: "none", height: 24, "aria-hidden": "true" };
  const said = `from ${duration(row.start - began)} for ${duration(row.seconds)}`;
  const element = h(
    "div",
    { class: `wf-row${isOwn ? " own" : ""}${onpick ? " picks" : ""}`, role: "row", "aria-selected": String(isOwn) },
    name,
    h("span", { class: "wf-bar", role: "cell", "aria-label": said }, s("svg", box, bar), beside),
  );
  if (onpick) element.addEventListener("click", (event) => event.target === title || onpick(row));
  return element;
}
