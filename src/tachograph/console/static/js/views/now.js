// Now: what is wrong and since when, in a sentence; tiles with the period before as a ghost; providers and servers by trouble.

import { console_ } from "../api.js";
import { providerColour, theme } from "../colours.js";
import { announce, h, refill, s, table, toned } from "../dom.js";
import { clock, count, duration, moment, shorten, value as shown } from "../format.js";
import * as state from "../state.js";

const LEVEL_WORD = { bad: "Trouble", warn: "Attention", over: "Over", good: "Healthy", empty: "Quiet" };
const TOOL_HEADS = [
  ["Calls", "number roomy"],
  ["Over time", "spark"],
  ["Failed", "number"],
  ["Most frequent error", "roomy"],
  ["p50", "number wide"],
  ["p95", "number"],
  ["p95 before", "number wide"],
];
const HEADS = [...TOOL_HEADS, ["First token p95", "number wide"], ["Waits", "number wide"], ["Cost", "number"]];

export class NowView {
  constructor(context) {
    this.context = context;
    this.sentence = h("p", { class: "sentence" }, "Reading the calls ...");
    this.tiles = h("div", { class: "now-tiles" });
    this.providers = h("section", { class: "card", "aria-label": "Providers and models" });
    this.servers = h("section", { class: "card", "aria-label": "MCP servers and tools" });
    this.element = h(
      "div",
      { class: "now-view" },
      h("h1", { class: "sr-only" }, "Now"),
      this.sentence,
      this.tiles,
      this.providers,
      this.servers,
    );
  }

  async refresh() {
    const { from, to } = state.range();
    const asked = new URLSearchParams({ from: String(from), to: String(to) });
    for (const name of ["provider", "model", "server_id", "tool_name"])
      if (state.get(name)) asked.set(name, state.get(name));
    const answer = await console_(`now?${asked}`);
    this.answer = answer;
    this.context.told(
      answer.known_since > from + 60 && answer.sentence.level !== "empty"
        ? `Nothing is kept before ${moment(answer.known_since)}.${answer.from_ledger ? " The older part comes from the ledger by the hour." : ""}`
        : "",
    );
    this.redraw();
  }

  redraw() {
    const { answer } = this;
    if (!answer) return;
    this.drawSentence(answer);
    refill(this.tiles, ...answer.tiles.map((tile) => tileOf(tile)));
    this.drawTable(
      this.providers,
      "Providers and models",
      answer.providers,
      ["provider", "model"],
      "No LLM calls in this range.",
    );
    this.drawTable(
      this.servers,
      "MCP servers and tools",
      answer.servers,
      ["server_id", "tool_name"],
      "No tool calls in this range.",
    );
  }

  drawSentence({ sentence, troubles }) {
    const text = sentence.text
      .replace("{since}", this.when(sentence.since))
      .replace("{until}", this.when(sentence.until))
      .replace(/^Healthy: /, ""); // the word stands before it
    this.sentence.className = `sentence level-${sentence.level}`;
    const more = troubles
      .slice(1, 4)
      .map((one) =>
        h("li", {}, one.text.replace("{since}", this.when(one.since)).replace("{until}", this.when(one.until)) + "."),
      );
    const what = [sentence.level, ...troubles.map((one) => `${one.kind} ${one.who} ${one.error}`)].join();
    if (this.told !== what) announce(`${LEVEL_WORD[sentence.level]}: ${text}`); // new numbers of the same are not news
    this.told = what;
    const incident = sentence.alert
      ? h("a", { class: "button small", href: state.hrefOf("alerts", { alert: sentence.alert }) }, "Open the incident")
      : null;
    const where = troubles[0]
      ? h(
          "a",
          {
            class: "button small",
            href: state.hrefOf("calls", {
              outcome: troubles[0].error === "given_up" ? "cancelled" : "error~timeout~rate_limited",
              ...(troubles[0].kind === "llm" ? { provider: troubles[0].who } : { server: troubles[0].who }),
            }),
          },
          "Show these calls",
        )
      : incident;
    const start =
      sentence.level === "empty"
        ? h(
            "span",
            { class: "muted" },
            ...(this.context.newest() ?? [
              " Send some: ",
              h("code", {}, "tachograph run -- python app.py"),
              ", or OTLP to this address, or run ",
              h("code", {}, "tachograph demo"),
              ".",
            ]),
          )
        : null;
    refill(
      this.sentence,
      h("span", { class: "sentence-level" }, LEVEL_WORD[sentence.level]),
      h("span", { class: "sentence-text" }, text, start),
      where || "",
      more.length ? h("ul", { class: "sentence-more" }, more) : "",
    );
  }

  /** A time of day, with its date where it is not of the last day. */
  when(at) {
    return clock(at || 0, at && this.answer.at - at > 86400 ? 2 * 86400 : 0);
  }

  drawTable(box, title, found, [by, part], empty) {
    const rows = [
      ...found.rows,
      ...(found.others ? [{ ...found.others, [by]: "", [part]: `${found.other_count} others`, others: true }] : []),
    ];
    const isLlm = by === "provider";
    box.hidden = !rows.length && !isLlm;
    if (!rows.length) {
      refill(box, h("h2", {}, title), h("p", { class: "empty" }, empty));
      return;
    }
    this.names = rows.map((row) => row[part] || "");
    const heads = isLlm
      ? [["Provider", ""], ["Model", "name"], ...HEADS]
      : [["Server", ""], ["Tool", "name"], ...TOOL_HEADS];
    const scroll = { class: "table-scroll tall", tabindex: "0" };
    const total = h("span", { class: "muted" }, `${count(found.total)}, by trouble`);
    refill(
      box,
      h("header", { class: "card-head" }, h("h2", {}, title), total),
      h(
        "div",
        scroll,
        table(
          heads,
          rows.map((row) => this.row(row, by, part)),
          { class: "grid now-table", "aria-label": title },
        ),
      ),
    );
  }

  row(row, by, part) {
    const isLlm = by === "provider";
    const bad = row.failed + row.given_up;
    const ratio = row.calls ? bad / row.calls : 0;
    const tone = ratio >= 0.05 && bad >= 3 ? "bad" : bad ? "warn" : "";
    const slower = row.p95_before && row.p95 > row.p95_before * 1.5 ? "warn" : null;
    const link = isLlm ? { provider: row.provider, model: row.model } : { server: row.server_id, tool: row.tool_name };
    const few = row.calls < 20;
    const failed = [count(bad), h("span", { class: "roomy" }, ` (${(ratio * 100).toFixed(ratio < 0.1 ? 1 : 0)} %)`)];
    const error = row.errors[0];
    const cells = [
      [isLlm && row[by] ? dot(row[by]) : "", row[by] || ""],
      row.others
        ? h("span", { class: "muted" }, row[part])
        : h(
            "a",
            { href: state.hrefOf("calls", link), title: row[part] },
            shorten(row[part] || "–", innerWidth < 1700 ? 30 : 40, this.names),
          ),
      count(row.calls),
      sparkBars(row.line, row.bad_line),
      bad ? h("span", { class: tone, title: row.given_up ? "with those given up" : null }, failed) : "0",
      error
        ? [
            h("span", { class: `pill ${tone || "quiet"}` }, error[0]),
            h("span", { class: "muted small" }, ` ${count(error[1])}`),
          ]
        : "",
      shown(row.p50, "s"),
      h(
        "span",
        { class: slower, title: few ? `of ${row.calls} calls only` : null },
        `${shown(row.p95, "s")}${few && row.p95 !== null ? " *" : ""}`,
      ),
      h("span", { class: "muted" }, shown(row.p95_before, "s")),
    ];
    if (isLlm)
      cells.push(
        shown(row.first_token_p95, "s"),
        row.wait > 0.0005 ? duration(row.wait) : "",
        shown(row.cost, "currencyUSD"),
      );
    return toned(cells, tone ? `row-${tone}` : "");
  }

  close() {
    this.context.told("");
  }
}

function dot(provider) {
  const circle = s("circle", { cx: 5, cy: 5, r: 4, fill: providerColour(provider) });
  return s("svg", { width: 10, height: 10, "aria-hidden": "true", class: "provider-dot" }, circle);
}

/** Calls over the range as bars; the failed part of each in the colour of errors. */
function sparkBars(line, bad) {
  const high = Math.max(1, ...line);
  const bars = s("svg", { width: 122, height: 22, viewBox: "0 0 122 22", "aria-hidden": "true" });
  line.forEach((count, index) => {
    if (!count) return;
    const tall = Math.max(1.5, (count / high) * 20);
    bars.append(
      s("rect", {
        x: index * 3 + 1,
        y: 21 - tall,
        width: 2.3,
        height: tall,
        fill: theme().accent,
        "fill-opacity": 0.75,
      }),
    );
    if (bad[index]) {
      const red = Math.max(1.5, (bad[index] / high) * 20);
      bars.append(s("rect", { x: index * 3 + 1, y: 21 - red, width: 2.3, height: red, fill: theme().bad }));
    }
  });
  return bars;
}

function tileOf(tile) {
  const known = tile.value !== null && tile.value !== undefined;
  const change = known && tile.before ? (tile.value - tile.before) / Math.abs(tile.before) : NaN;
  const better = change > 0 === (tile.better === "up");
  const trend =
    Number.isFinite(change) && Math.abs(change) >= 0.005
      ? h(
          "span",
          { class: `stat-trend ${Math.abs(change) < 0.1 ? "" : better ? "good" : "bad"}` },
          `${change > 0 ? "▲" : "▼"} ${Math.abs(change) > 9.99 ? "×" + (change + 1).toFixed(0) : Math.abs(change * 100).toFixed(0) + " %"}`,
        )
      : "";
  const note =
    tile.note ||
    (!known
      ? ""
      : tile.before === null || tile.before === undefined
        ? "no period before"
        : `${shown(tile.before, tile.unit)} in the period before`);
  const few =
    known && !tile.enough && ["p95", "first_token"].includes(tile.name)
      ? `of ${tile.n} ${tile.n === 1 ? "call" : "calls"} only. `
      : "";
  const failing = tile.name === "success" && known && tile.value < 0.95 ? "bad" : tile.level || "";
  return h(
    "section",
    { class: `card tile now-tile ${failing ? `level-${failing}` : ""}`, dataset: { tile: tile.name } },
    h("h2", {}, tile.title),
    h("p", { class: "stat" }, h("span", { class: "stat-value" }, known ? shown(tile.value, tile.unit) : "–"), trend),
    h("p", { class: "muted small" }, few + note),
    known ? ghostLine(tile.line, tile.ghost) : "",
  );
}

/** The range as a line, the period before as a pale one under it. */
function ghostLine(line, ghost) {
  const all = [...line, ...ghost].filter((number) => number !== null);
  if (all.length < 2) return "";
  const high = Math.max(...all) || 1;
  const path = (values) => {
    let text = "";
    let open = false;
    values.forEach((number, index) => {
      if (number === null) {
        open = false;
        return;
      }
      const at = `${((index / Math.max(1, values.length - 1)) * 200).toFixed(1)} ${(33 - (number / high) * 30).toFixed(1)}`;
      text += open ? `L${at}` : `M${at}h0.01`;
      open = true;
    });
    return text;
  };
  return s(
    "svg",
    { viewBox: "0 0 200 35", preserveAspectRatio: "none", class: "ghost-line", "aria-hidden": "true" },
    s("path", {
      d: path(ghost),
      fill: "none",
      stroke: theme().muted,
      "stroke-width": 1.2,
      "stroke-opacity": 0.55,
      "stroke-dasharray": "3 3",
      "vector-effect": "non-scaling-stroke",
    }),
    s("path", {
      d: path(line),
      fill: "none",
      stroke: theme().accent,
      "stroke-width": 1.8,
      "stroke-linecap": "round",
      "vector-effect": "non-scaling-stroke",
    }),
  );
}
