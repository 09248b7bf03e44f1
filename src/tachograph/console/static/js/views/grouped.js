// Explore's other lists: runs, sessions, errors, and two sides compared.

import { h, table, toned } from "../dom.js";
import { clock, count, duration, few, moment, short, shorten, usd, value as shown } from "../format.js";
import * as state from "../state.js";

const NUMBERS = ["Took", "LLM calls", "Tools", "Failed", "Tokens", "Cost"].map((name) => [
  name,
  ["LLM calls", "Tools", "Tokens"].includes(name) ? "number mid" : "number",
]);

/** The cost of calls that belong together: a dash where none of it is known, and of how many calls it is not. */
export function costOf({ cost, unpriced, unreported }) {
  const calls = (number) => `${count(number)} ${number === 1 ? "call" : "calls"}`;
  const lacks = [
    unpriced ? `${calls(unpriced)} without a price` : "",
    unreported
      ? `${calls(unreported)} cancelled or timed out without a report of usage: the provider may bill them`
      : "",
  ].filter(Boolean);
  return h(
    "span",
    { title: lacks.join("; ") || null },
    cost === null ? "–" : `${usd(cost)}${lacks.length ? " *" : ""}`,
  );
}

/**
 * Runs or sessions, in the order they come.
 * @param {{chosen?: string, address?: (row: any) => string}} options which row is the chosen one, and where each leads.
 */
export function groupTable(what, rows, options = {}) {
  const { chosen, address } = options;
  const isRuns = what === "runs";
  const link = address || ((row) => state.hrefOf("run", isRuns ? { id: row.id } : { session: row.id }));
  const cellsOf = (row) => [
    h("a", { class: "mono", href: link(row), title: row.id }, shorten(row.id, innerWidth < 560 ? 12 : 24)),
    row.agent,
    row.service || (row.services || []).join(", "),
    moment(row.first),
    duration(row.seconds),
    count(row.llm_calls),
    count(row.tool_calls),
    row.failed ? h("b", { class: "bad" }, count(row.failed)) : "0",
    short(row.tokens),
    costOf(row),
  ];
  const cells = rows.map((row) => (row.id === chosen ? toned(cellsOf(row), "chosen") : cellsOf(row)));
  const heads = [
    isRuns ? "Run" : "Session",
    ["Agent", "name agent roomy"],
    ["Service", "name extra"],
    ["Began", "roomy"],
    ...NUMBERS,
  ];
  return h(
    "div",
    { class: "table-scroll tall", tabindex: "0" },
    table(heads, cells, { "aria-label": isRuns ? "Runs" : "Sessions" }),
  );
}

/** Failures grouped by what their texts have in common. */
export function errorTable(rows) {
  return h(
    "div",
    { class: "error-groups" },
    rows.map((row) =>
      h(
        "article",
        { class: "error-group" },
        h(
          "header",
          {},
          h("b", { class: "error-count" }, count(row.calls)),
          h("span", { class: "mono error-print" }, row.fingerprint),
        ),
        row.error ? h("pre", { tabindex: "0" }, row.error) : "",
        h(
          "p",
          { class: "muted small" },
          h("span", { title: row.models.join("\n") }, `${few(row.providers)} · ${few(row.models)}`),
          ` · ${row.last - row.first < 1 ? moment(row.last) : `${moment(row.first)} – ${moment(row.last)}`} · `,
          row.example ? [h("a", { href: state.hrefOf("calls", { call: row.example }) }, "the newest one"), " · "] : "",
          h("a", { href: state.hrefOf("calls", row.link || { fingerprint: row.fingerprint }) }, "all of them"),
        ),
      ),
    ),
  );
}

/** Two periods, or two versions, side by side. */
export function comparison(found, versions) {
  const byVersion = versions.every(Boolean);
  const side = (one, version) => {
    const name = byVersion ? `Version ${version}` : `${clock(one.from, 1)} – ${clock(one.to, 1)}`;
    return [`${name} (${count(one.calls)})`, "number"];
  };
  const field = (id, text, value) =>
    h(
      "label",
      { class: "field wide" },
      h("span", {}, text),
      h("input", {
        name: id,
        value,
        placeholder: id === "version_a" ? "or the period before" : "or this period",
        onchange: (event) => state.set({ [id]: event.target.value.trim() || null }),
      }),
    );
  const rows = found.rows.map((row) =>
    toned(
      [
        row.name,
        shown(row.a, row.unit),
        shown(row.b, row.unit),
        row.change === null ? "–" : `${row.change > 0 ? "+" : ""}${(row.change * 100).toFixed(1)} %`,
        row.chance === null
          ? found.a.calls && found.b.calls
            ? "too few"
            : "–"
          : row.significant
            ? h("b", {}, "yes")
            : "no",
      ],
      row.significant ? "significant" : "",
    ),
  );
  const about = byVersion
    ? "Two versions in this range."
    : "This range against the one before it. Name two versions to compare those.";
  const heads = [
    "",
    side(found.a, versions[0]),
    side(found.b, versions[1]),
    ["Change", "number"],
    ["Significant", "number roomy"],
  ];
  return [
    h(
      "div",
      { class: "filters" },
      field("version_a", "Version A", versions[0]),
      field("version_b", "Version B", versions[1]),
    ),
    h("p", { class: "muted" }, about),
    h(
      "div",
      { class: "table-scroll", tabindex: "0" },
      table(heads, rows, { class: "grid compare", "aria-label": "Comparison" }),
    ),
  ];
}
