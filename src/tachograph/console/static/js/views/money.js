// The money: by provider, model, label and day; where the day and the month are heading; what has no price.

import { console_ } from "../api.js";
import { timeseries } from "../charts/timeseries.js";
import { assign, theme } from "../colours.js";
import { download, h, icon, key, refill, s, table, toned } from "../dom.js";
import { count, csv, moment, short, shorten, timeOfDay, usd, value as shown, zoneName } from "../format.js";
import * as state from "../state.js";

const WAYS = [
  ["provider", "Provider"],
  ["model", "Model"],
  ["label", "Label"],
  ["day", "Day (UTC)"],
];
const DRAWN = 11;
/** What a sheet is wide, in px of CSS. */
const PAPER = 680;
/** From this share on a budget is nearly spent. */
const NEARLY = 0.8;
const CAUSES = {
  failed: "Failed calls",
  aborted: "Answers that were cut off",
  retried: "Retries",
  cache_miss: "Cache misses",
  duplicate: "The same call again",
  loop: "Agents in a loop",
  tool_definitions: "Definitions of tools that were not used",
};

// Where a budget is heading, by the same forecast.
const heading = (one) => {
  if (one.passed === null) return `${usd(one.reserved_usd)} reserved`;
  if (one.heading_usd === null) return "no forecast yet";
  return `heading for ${usd(one.heading_usd)}, at most ${usd(one.heading_high_usd)}`;
};

// What a tile says of a day or a month: what is spent so far, and the likely sum at its end with its range.
const ahead = (forecast, period, until, unpriced) => {
  const names = [`${period}_spent_usd`, `${period}_low_usd`, `${period}_usd`, `${period}_high_usd`];
  const [spent, low, likely, high] = names.map((name) => forecast[name]);
  const sum = Number(spent) || !unpriced ? usd(Number(spent)) : "–";
  if (likely === null) return [sum, "no forecast yet: under a day of data"];
  return [sum, `at this pace ${usd(Number(likely))} (${usd(Number(low))} to ${usd(Number(high))}) ${until}`];
};

const PERIODS = {
  hour: "this hour",
  day: "today",
  week: "this week",
  month: "this month",
  total: "in total",
  rolling: "in a rolling time",
};
/** The cost of a group, where one is known: what has no price is not free. */
const costOf = (one) =>
  (one.unpriced_calls || one.unreported_calls) && !Number(one.cost_usd) ? "–" : usd(Number(one.cost_usd));
const none = () => h("span", { class: "muted" }, "none");

export class MoneyView {
  constructor(context) {
    this.context = context;
    this.budgets = h("section", { class: "card", "aria-label": "Budgets" });
    this.why = h("section", { class: "card", "aria-label": "Why it changed" });
    this.lists = h("div", { class: "money-lists" });
    this.tiles = h("div", { class: "tiles" });
    this.chart = h("div", { class: "panel-body" });
    this.holder = h("div", { class: "table-scroll tall", tabindex: "0" });
    this.tabs = h("div", { class: "segmented", role: "group", "aria-label": "Group by" });
    this.label = h("input", {
      name: "label_key",
      placeholder: "label, e.g. team",
      value: state.get("label_key"),
      "aria-label": "Label to group by",
      onchange: (event) => state.set({ label_key: event.target.value.trim() || null }),
    });
    const save = { class: "icon-button", "aria-label": "Download as CSV", title: "Download as CSV" };
    this.period = h("p", { class: "print-only" });
    this.element = h(
      "div",
      { class: "cost-view" },
      h("h1", { class: "sr-only" }, "Money"),
      this.period,
      this.tiles,
      h("div", { class: "money-split" }, this.budgets, this.why),
      h(
        "section",
        { class: "card" },
        h(
          "header",
          { class: "card-head" },
          h("h2", {}, "Spent over time"),
          h("span", { class: "spring" }),
          this.tabs,
          this.label,
        ),
        this.chart,
      ),
      h(
        "section",
        { class: "card" },
        h(
          "header",
          { class: "card-head" },
          h("h2", {}, "Breakdown"),
          h("span", { class: "spring" }),
          h("button", { ...save, onclick: () => this.csv() }, icon("down")),
          h("button", { class: "button small", onclick: () => print() }, "Print as a statement"),
        ),
        this.holder,
      ),
      this.lists,
    );
  }

  async refresh() {
    const by = state.get("by", "model");
    this.label.hidden = by !== "label";
    const tab = ([id, name]) =>
      h("button", { class: "segment", "aria-pressed": String(by === id), onclick: () => state.set({ by: id }) }, name);
    refill(this.tabs, ...WAYS.map(tab));
    const { from, to } = state.range();
    const asked = new URLSearchParams({ from: String(from), to: String(to) });
    asked.set("by", by === "label" ? `label:${state.get("label_key") || "team"}` : by);
    for (const name of ["provider", "model"]) if (state.get(name)) asked.set(name, state.get(name));
    const money = await console_(`money?${asked}`);
    this.money = money;
    const isShort = money.known_since > money.from + 60;
    const sums = `; before that, sums of five minutes count, from ${moment(money.from)} on`;
    this.context.told(
      isShort ? `Calls are kept since ${moment(money.known_since)}${money.from_sums ? sums : ""}.` : "",
    );
    this.period.textContent = `Statement of the cost of LLM calls from ${moment(money.from)} to ${moment(money.to)} (${zoneName()}), made by Tachograph`;
    this.redraw();
  }

  redraw() {
    const { money } = this;
    if (!money) return;
    this.drawBudgets(money);
    this.drawWhy(money);
    this.drawLists(money);
    this.drawTiles(money.spent, money.open_calls);
    this.drawChart(money.spent, money, state.get("by", "model"));
    this.drawTable(money.spent, state.get("by", "model"));
  }

  drawTiles({ total_usd: total, calls, unpriced_share: unpriced, forecast }, open) {
    const tile = (name, value, note, tone = "") =>
      h(
        "div",
        { class: `card tile ${tone}` },
        h("h2", {}, name),
        h("p", { class: "stat-value" }, value),
        h("p", { class: "muted" }, note),
      );
    const share = `${((unpriced || 0) * 100).toFixed(1)} %`;
    const why = unpriced
      ? "Their cost is unknown, not zero: add prices to your price file."
      : "Every call that reported its usage has a price.";
    const maybe = open
      ? ` ${count(open)} that ${open === 1 ? "was" : "were"} cancelled or timed out reported none: the provider may bill some.`
      : "";
    const isKnown = Number(total) > 0 || !(unpriced || open);
    const each = calls && isKnown ? `, ${usd(Number(total) / calls)} each` : "";
    refill(
      this.tiles,
      tile("Spent in this range", isKnown ? usd(Number(total)) : "–", `${count(calls)} calls${each}`),
      tile("Today so far (UTC)", ...ahead(forecast, "day", "by midnight", unpriced)),
      tile("This month so far (UTC)", ...ahead(forecast, "month", "by its end", unpriced)),
      tile("Calls without a price", share, why + maybe, unpriced ? "warn" : ""),
    );
  }

  drawChart(spent, { from, to }, by) {
    let groups = spent.groups.filter((group) => group.series?.length && Number(group.cost_usd));
    if (!groups.length) {
      const why = spent.unpriced_share
        ? ["No call in this range has a price.", "Their cost is unknown, not zero: add prices to your price file."]
        : ["No cost in this time range.", "Choose a longer range, or wait for the first priced call."];
      const texts = [h("p", {}, why[0]), h("p", { class: "muted" }, why[1])];
      this.chart.replaceChildren(h("div", { class: "panel-empty" }, texts));
      return;
    }
    const rest = groups.slice(DRAWN);
    groups = groups.slice(0, DRAWN);
    if (rest.length) groups.push(others(rest));
    const stamps = [...new Set(groups.flatMap((group) => group.series.map(([time]) => time)))].sort((a, b) => a - b);
    const series = groups.map((group) => ({
      name: group.key || "none",
      labels: group.others ? { others: "1" } : group.provider ? { provider: group.provider } : { key: group.key },
    }));
    const rows = groups.map((group) => {
      const map = new Map(group.series);
      return Float64Array.from(stamps, (time) => Number(map.get(time) || 0));
    });
    const colours = assign(series);
    const step = spent.step_seconds;
    const sums = groups.slice(0, 8).map((group) => `${group.key} ${usd(Number(group.cost_usd))}`);
    const drawn = timeseries({
      times: Float64Array.from(stamps, (time) => time + step / 2),
      step,
      rows,
      colours,
      shown: rows.map(() => true),
      mode: "bars",
      stacked: true,
      unit: "currencyUSD",
      width: document.documentElement.hasAttribute("data-paper") ? PAPER : Math.max(260, this.chart.clientWidth),
      height: 240,
      from: Math.min(from, stamps[0]),
      to: Math.max(to, stamps.at(-1) + step),
      label: `Spent over time: ${sums.join(", ")}`,
    });
    const names = series.map((one) => one.name);
    const items = series.map((one, index) =>
      h(
        "span",
        { class: "legend-item still" },
        key(colours[index]),
        h("span", { class: "legend-name", title: one.name }, shorten(one.name, 44, names)),
        h("span", { class: "legend-value" }, usd(Number(groups[index].cost_usd))),
      ),
    );
    this.chart.replaceChildren(drawn.svg, h("div", { class: "legend" }, items));
  }

  drawTable({ groups, total_usd: total, more_groups: more }, by) {
    if (!groups.length) {
      refill(this.holder, h("p", { class: "empty" }, "No calls in this time range."));
      return;
    }
    const name = WAYS.find(([id]) => id === by)[1];
    const heads = ["Cost", "Share", "Calls", "Tokens in", "Tokens out", "Unpriced"].map((head, index) => [
      head,
      index > 1 ? "number roomy" : "number",
    ]);
    const keys = groups.map((group) => group.key);
    const rows = groups.map((group) => {
      const share = Number(total) ? Number(group.cost_usd) / Number(total) : 0;
      const width = Math.max(1, Math.round(share * 700) / 10);
      const bar = s("rect", { x: 70 - width, width, height: 8, rx: 2, fill: theme().accent });
      return [
        by === "model"
          ? h(
              "a",
              { href: state.hrefOf("calls", { model: group.key }), title: group.key },
              shorten(group.key, 56, keys),
            )
          : group.key || none(),
        costOf(group),
        share
          ? [
              s("svg", { width: 70, height: 8, "aria-hidden": "true", class: "roomy" }, bar),
              ` ${(share * 100).toFixed(1)} %`,
            ]
          : "–",
        count(group.calls),
        short(group.input_tokens),
        short(group.output_tokens),
        group.unpriced_calls ? h("span", { class: "tag unpriced" }, count(group.unpriced_calls)) : "",
      ];
    });
    const foot = more ? h("p", { class: "muted" }, `${more} smaller ones are not listed.`) : "";
    refill(this.holder, table([[name, "name"], ...heads], rows, { "aria-label": "Breakdown" }), foot);
  }

  drawBudgets({ budgets }) {
    const bars = budgets.map((one) => {
      const tone = one.share >= 1 ? "bad" : one.share >= NEARLY || one.heading_usd > one.limit_usd ? "warn" : "good";
      const passed = one.passed === null ? "" : `, ${(one.passed * 100).toFixed(0)} % of the period over`;
      const bar = {
        viewBox: "0 0 200 8",
        preserveAspectRatio: "none",
        class: "budget-bar",
        role: "img",
        "aria-label": `${(one.share * 100).toFixed(0)} % spent${passed}`,
      };
      const { track, text } = theme();
      const left = one.limit_usd - one.spent_usd;
      const note = one.share >= 1 ? `spent: ${usd(-left)} over` : `${usd(left)} left, ${heading(one)}`;
      return h(
        "div",
        { class: "budget" },
        h("b", {}, one.name),
        h("span", { class: "muted" }, ` ${PERIODS[one.period] || one.period}`),
        h("span", { class: `budget-sum ${tone}` }, `${usd(one.spent_usd)} of ${usd(one.limit_usd)}`),
        s(
          "svg",
          bar,
          s("rect", { width: 200, height: 8, rx: 2, fill: track }),
          s("rect", { width: Math.min(200, one.share * 200), height: 8, rx: 2, fill: theme()[tone] }),
          one.passed === null ? null : s("rect", { x: one.passed * 200, width: 1.2, height: 8, fill: text }),
        ),
        h("span", { class: "muted small" }, note),
      );
    });
    const where = h("code", {}, "[[tool.tachograph.budgets.limits]]");
    const empty = h("p", { class: "muted" }, "No budget is set. Set one as ", where, " in pyproject.toml.");
    refill(this.budgets, h("h2", {}, "Budgets"), bars.length ? h("div", {}, bars) : empty);
  }

  drawWhy({ why, has_before: hasBefore, total_usd: total, before_usd: before, unpriced_calls: unpriced }) {
    const missing = !hasBefore
      ? "There are no calls in the period before to compare with."
      : unpriced
        ? "No call of this range and of the one before has a price: whether it changed is not known."
        : "Nothing was spent in this range and in the one before.";
    const rows = why.map((part) => {
      const sum = h("span", { class: part.usd > 0 ? "warn" : "good" }, `${part.usd >= 0 ? "+" : ""}${usd(part.usd)}`);
      return toned([part.part, sum, h("span", { class: "muted" }, part.note)], part.part === "Change" ? "sum" : "");
    });
    const found =
      hasBefore && rows.length
        ? [
            h("p", { class: "muted" }, `${usd(total)} in this range, ${usd(before)} in the one before.`),
            table([["", ""], ["", "number"], ["", "note"]], rows, { "aria-label": "Why it changed" }), // prettier-ignore
          ]
        : [h("p", { class: "muted" }, missing)];
    refill(this.why, h("h2", {}, "Why it changed"), ...found);
  }

  drawLists(money) {
    const { from, to } = money;
    const card = (title, ...children) => h("section", { class: "card" }, h("h2", {}, title), children);
    const list = (title, head, rows, name = "key") => {
      const keys = rows.map((row) => row[name] || "");
      const cells = rows.map((row) => [
        row[name] ? CAUSES[name === "cause" ? row[name] : ""] || shorten(row[name], 44, keys) : none(),
        row.calls === null ? "" : count(row.calls),
        shown(row.usd, "currencyUSD"),
      ]);
      const heads = [[head, name === "cause" ? "cause" : "name"], ["Calls", "number"], ["Cost", "number"]]; // prettier-ignore
      return rows.length ? card(title, table(heads, cells, { "aria-label": title })) : "";
    };
    const models = money.top.map((call) => call.model);
    const top = money.top.map((call) => [
      h("a", { href: state.hrefOf("calls", { call: call.id }), title: call.model }, shorten(call.model, 32, models)),
      to - from > 86400 ? moment(call.time) : timeOfDay(call.time),
      `${short(call.input_tokens || 0)} → ${short(call.output_tokens || 0)}`,
      usd(call.usd),
    ]);
    const unpriced = money.unpriced.map((row) => [shorten(`${row.provider}/${row.model}`, 56), count(row.calls)]);
    const bill = money.bill.map((one) =>
      h("li", {}, `${one.provider}: the ledger is ${(one.drift * 100).toFixed(2)} % from the bill`),
    );
    refill(
      this.lists,
      ...[
        top.length
          ? card(
              "Most expensive calls",
              table([["Model", "name"], "Began", ["Tokens", "number roomy"], ["Cost", "number"]], top, {
                "aria-label": "Most expensive calls",
              }),
            )
          : "",
        list("By service", "Service", money.who.service),
        list("By agent", "Agent", money.who.agent),
        list("By user", "User", money.who.user_id),
        list("By label", "Label", money.labels),
        list("Waste: money that bought nothing", "Cause", money.waste, "cause"),
        unpriced.length
          ? card(
              "Without a price",
              h("p", { class: "muted" }, "Their cost is unknown, not zero: add prices to your price file."),
              table([["Model", "name"], ["Calls", "number"]], unpriced, { "aria-label": "Without a price" }), // prettier-ignore
              money.unpriced_models > unpriced.length
                ? h("p", { class: "muted" }, `and ${money.unpriced_models - unpriced.length} more models`)
                : "",
            )
          : "",
        card(
          "The bill",
          bill.length
            ? h("ul", { class: "plain" }, bill)
            : h("p", { class: "muted" }, "Not compared yet: ", h("code", {}, "tachograph reconcile"), " does."),
        ),
      ].filter(Boolean),
    );
  }

  csv() {
    if (!this.money) return;
    const names = ["key", "cost_usd", "calls", "input_tokens", "output_tokens", "unpriced_calls", "unreported_calls"];
    const rows = this.money.spent.groups.map((group) => names.map((name) => group[name]));
    download("cost.csv", csv([names, ...rows]));
  }

  close() {
    this.context.told("");
  }
}

/** The groups that are not drawn one by one, as one. */
function others(rest) {
  const sums = new Map();
  for (const group of rest) for (const [time, sum] of group.series) sums.set(time, (sums.get(time) || 0) + sum);
  const cost = rest.reduce((sum, group) => sum + Number(group.cost_usd), 0);
  return { key: `${rest.length} others`, others: true, cost_usd: String(cost), series: [...sums] };
}
