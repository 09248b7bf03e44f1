// The money: by provider, model, label and day; where the day and the month are heading; what has no price.

import { console_ } from "../api.js";
import { assign, theme } from "../colours.js";
import { download, h, icon, s } from "../dom.js";
import { csv, moment, short, usd } from "../format.js";
import { timeseries } from "../charts/timeseries.js";
import * as state from "../state.js";

const WAYS = [
  ["provider", "Provider"],
  ["model", "Model"],
  ["label", "Label"],
  ["day", "Day"],
];

const PERIODS = { rolling: " in a rolling time", total: " in total" };

// Where a budget is heading, by the same forecast.
const heading = (one) => {
  if (one.passed === null) return `${usd(one.reserved_usd)} reserved`;
  if (one.heading_usd === null) return "too early to say where it is heading";
  return `heading for ${usd(one.heading_usd)}, at most ${usd(one.heading_high_usd)}`;
};

// What a tile says of a forecast: the likely sum, and its range.
const ahead = (forecast, period, until) => {
  const [low, likely, high] = [`${period}_low_usd`, `${period}_usd`, `${period}_high_usd`].map(
    (name) => forecast?.[name],
  );
  if (likely == null) return ["–", "too early to say: under a day of data"];
  return [usd(Number(likely)), `${usd(Number(low))} to ${usd(Number(high))} ${until}`];
};

export class MoneyView {
  constructor(context) {
    this.context = context;
    this.budgets = h("section", { class: "card", "aria-label": "Budgets" });
    this.why = h("section", { class: "card", "aria-label": "Why it changed" });
    this.lists = h("div", { class: "money-lists" });
    this.tiles = h("div", { class: "tiles" });
    this.chart = h("div", { class: "panel-body" });
    this.holder = h("div", { class: "table-scroll", tabindex: "0" });
    this.tabs = h("div", { class: "segmented", role: "group", "aria-label": "Group by" });
    this.key = h("input", {
      name: "label_key",
      placeholder: "label, e.g. team",
      value: state.get("label_key"),
      "aria-label": "Label to group by",
      onchange: (event) => {
        state.set({ label_key: event.target.value.trim() || null });
      },
    });
    this.element = h(
      "div",
      { class: "cost-view" },
      h("h1", { class: "sr-only" }, "Money"),
      h("p", { class: "print-only" }, "Statement of the cost of LLM calls, made by Tachograph"),
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
          this.key,
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
          h(
            "button",
            {
              class: "icon-button",
              "aria-label": "Download as CSV",
              title: "Download as CSV",
              onclick: () => this.csv(),
            },
            icon("down"),
          ),
          h("button", { class: "button small", onclick: () => print() }, "Print as a statement"),
        ),
        this.holder,
      ),
      this.lists,
    );
  }

  async refresh() {
    const by = state.get("by", "model");
    const label = state.get("label_key");
    this.key.hidden = by !== "label";
    this.tabs.replaceChildren(
      ...WAYS.map(([id, name]) =>
        h(
          "button",
          {
            class: "segment",
            "aria-pressed": String(by === id),
            onclick: () => {
              state.set({ by: id });
            },
          },
          name,
        ),
      ),
    );
    const { from, to } = state.range();
    const way = by === "label" ? `label:${label || "team"}` : by;
    const answer = await console_(`cost?${new URLSearchParams({ from: String(from), to: String(to), by: way })}`);
    this.answer = answer;
    const money = await console_(
      `money?${new URLSearchParams({ from: String(from), to: String(to), ...(state.get("provider") ? { provider: state.get("provider") } : {}) })}`,
    );
    this.context.told(
      money.known_since > from + 60
        ? `Calls are kept since ${moment(money.known_since)}; sums of five minutes go further back.`
        : "",
    );
    this.drawBudgets(money);
    this.drawWhy(money);
    this.drawLists(money);
    this.drawTiles(answer);
    this.drawChart(answer, from, to, by);
    this.drawTable(answer, by);
  }

  drawTiles({ total_usd: total, unpriced_share: unpriced, forecast, groups }) {
    const calls = groups.reduce((sum, group) => sum + group.calls, 0);
    const tile = (name, value, note, tone = "") =>
      h(
        "div",
        { class: `card tile ${tone}` },
        h("h3", {}, name),
        h("p", { class: "stat-value" }, value),
        h("p", { class: "muted" }, note),
      );
    this.tiles.replaceChildren(
      tile(
        "Spent in this range",
        usd(Number(total || 0)),
        `${short(calls)} calls${calls ? `, ${usd(Number(total || 0) / calls)} each` : ""}`,
      ),
      tile("Today, at this pace", ...ahead(forecast, "day", "to midnight UTC")),
      tile("This month, at this pace", ...ahead(forecast, "month", "to the month's end")),
      tile(
        "Calls without a price",
        `${((unpriced || 0) * 100).toFixed(1)} %`,
        unpriced
          ? "Their cost is unknown, not zero: add prices to your price file."
          : "Every call in this range has a price.",
        unpriced ? "warn" : "",
      ),
    );
  }

  drawChart(answer, from, to, by) {
    const groups = answer.groups.filter((group) => group.series?.length).slice(0, 24);
    if (!groups.length) {
      this.chart.replaceChildren(
        h(
          "div",
          { class: "panel-empty" },
          h("p", {}, "No cost in this time range."),
          h("p", { class: "muted" }, "Choose a longer range, or wait for the first priced call."),
        ),
      );
      return;
    }
    const stamps = [...new Set(groups.flatMap((group) => group.series.map(([time]) => time)))].sort((a, b) => a - b);
    const series = groups.map((group) => ({
      name: group.key,
      labels: by === "provider" ? { provider: group.key } : { key: group.key },
    }));
    const rows = groups.map((group) => {
      const map = new Map(group.series);
      return Float64Array.from(stamps, (time) => Number(map.get(time) || 0));
    });
    const colours = assign(series);
    const step = answer.step_seconds || 300;
    const drawn = timeseries({
      times: Float64Array.from(stamps, (time) => time + step / 2),
      step,
      rows,
      colours,
      shown: rows.map(() => true),
      mode: "bars",
      stacked: true,
      unit: "currencyUSD",
      width: Math.max(260, this.chart.clientWidth),
      height: 240,
      from: Math.min(from, stamps[0]),
      to: Math.max(to, stamps.at(-1) + step),
      label: `Spent over time: ${groups
        .slice(0, 8)
        .map((group) => `${group.key} ${usd(Number(group.cost_usd))}`)
        .join(", ")}`,
    });
    this.chart.replaceChildren(
      drawn.svg,
      h(
        "div",
        { class: "legend" },
        series.map((one, index) =>
          h(
            "span",
            { class: "legend-item still" },
            s(
              "svg",
              { width: 14, height: 4, "aria-hidden": "true" },
              s("rect", { width: 14, height: 3, rx: 1.5, fill: colours[index] }),
            ),
            h("span", { class: "legend-name" }, one.name || "none"),
            h("span", { class: "legend-value" }, usd(Number(groups[index].cost_usd))),
          ),
        ),
      ),
    );
  }

  drawTable({ groups, total_usd: total }, by) {
    const head = [WAYS.find(([id]) => id === by)[1], "Cost", "Share", "Calls", "Tokens in", "Tokens out", "Unpriced"];
    const colours = theme();
    this.holder.replaceChildren(
      h(
        "table",
        { class: "grid" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            head.map((name, index) => h("th", { scope: "col", class: index ? "number" : "" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          groups.map((group) => {
            const share = Number(total) ? Number(group.cost_usd) / Number(total) : 0;
            return h(
              "tr",
              {},
              h(
                "th",
                { scope: "row" },
                by === "model"
                  ? h("a", { href: state.hrefOf("calls", { model: group.key }) }, group.key)
                  : group.key || h("span", { class: "muted" }, "none"),
              ),
              h("td", { class: "number" }, usd(Number(group.cost_usd))),
              h(
                "td",
                { class: "number" },
                s(
                  "svg",
                  { width: 70, height: 8, "aria-hidden": "true" },
                  s("rect", { width: Math.max(1, share * 70).toFixed(1), height: 8, rx: 2, fill: colours.accent }),
                ),
                ` ${(share * 100).toFixed(1)} %`,
              ),
              h("td", { class: "number" }, short(group.calls)),
              h("td", { class: "number" }, short(group.input_tokens)),
              h("td", { class: "number" }, short(group.output_tokens)),
              h(
                "td",
                { class: "number" },
                group.unpriced_calls ? h("span", { class: "tag unpriced" }, short(group.unpriced_calls)) : "",
              ),
            );
          }),
        ),
      ),
    );
    if (!groups.length) this.holder.replaceChildren(h("p", { class: "empty" }, "No calls in this time range."));
  }

  drawBudgets({ budgets }) {
    const bars = budgets.map((one) => {
      const tone = one.share >= 1 ? "bad" : one.heading_usd > one.limit_usd ? "warn" : "good";
      return h(
        "div",
        { class: "budget" },
        h("b", {}, one.name),
        h("span", { class: "muted" }, PERIODS[one.period] ?? ` a ${one.period}`),
        h("span", { class: `budget-sum ${tone}` }, `${usd(one.spent_usd)} of ${usd(one.limit_usd)}`),
        s(
          "svg",
          {
            viewBox: "0 0 200 8",
            preserveAspectRatio: "none",
            class: "budget-bar",
            role: "img",
            "aria-label": `${(one.share * 100).toFixed(0)} % spent` + (one.passed === null ? "" : `, ${(one.passed * 100).toFixed(0)} % of the ${one.period} over`),
          },
          s("rect", { width: 200, height: 8, rx: 2, fill: theme().track }),
          s("rect", { width: Math.min(200, one.share * 200), height: 8, rx: 2, fill: theme()[tone] }),
          one.passed === null ? null : s("rect", { x: one.passed * 200, width: 1.2, height: 8, fill: theme().text }),
        ),
        h("span", { class: "muted small" }, one.share >= 1 ? "spent" : heading(one)),
      );
    });
    this.budgets.replaceChildren(
      h("h2", {}, "Budgets"),
      bars.length
        ? h("div", {}, bars)
        : h(
            "p",
            { class: "muted" },
            "No budget is set. Set one as ",
            h("code", {}, "[[tool.tachograph.budgets.limits]]"),
            " in pyproject.toml.",
          ),
    );
  }

  drawWhy({ why, has_before: hasBefore, total_usd: total, before_usd: before }) {
    const rows = why.map((part) =>
      h(
        "tr",
        { class: part.part === "Change" ? "sum" : "" },
        h("th", { scope: "row" }, part.part),
        h("td", { class: `number ${part.usd > 0 ? "warn" : "good"}` }, `${part.usd >= 0 ? "+" : ""}${usd(part.usd)}`),
        h("td", { class: "muted" }, part.note),
      ),
    );
    this.why.replaceChildren(
      h("h2", {}, "Why it changed"),
      hasBefore && rows.length
        ? [
            h("p", { class: "muted" }, `${usd(total)} in this range, ${usd(before)} in the one before.`),
            h("table", { class: "grid" }, h("tbody", {}, rows)),
          ]
        : h("p", { class: "muted" }, "There are no calls in the period before to compare with."),
    );
  }

  drawLists(money) {
    const list = (title, rows, name = "key") =>
      rows.length
        ? h(
            "section",
            { class: "card" },
            h("h2", {}, title),
            h(
              "table",
              { class: "grid" },
              h(
                "tbody",
                {},
                rows.map((row) =>
                  h(
                    "tr",
                    {},
                    h("th", { scope: "row", class: "name" }, row[name] || h("span", { class: "muted" }, "none")),
                    h("td", { class: "number" }, short(row.calls)),
                    h("td", { class: "number" }, usd(row.usd)),
                  ),
                ),
              ),
            ),
          )
        : "";
    this.lists.replaceChildren(
      ...[
        list("Who: services", money.who.service),
        list("Who: agents", money.who.agent),
        list("Who: users", money.who.user_id),
        list("Who: labels", money.labels),
        money.top.length
          ? h(
              "section",
              { class: "card" },
              h("h2", {}, "Top calls"),
              h(
                "table",
                { class: "grid" },
                h(
                  "tbody",
                  {},
                  money.top.map((call) =>
                    h(
                      "tr",
                      {},
                      h("th", { scope: "row" }, h("a", { href: state.hrefOf("calls", { call: call.id }) }, call.model)),
                      h("td", {}, moment(call.time)),
                      h(
                        "td",
                        { class: "number" },
                        `${short(call.input_tokens || 0)} → ${short(call.output_tokens || 0)}`,
                      ),
                      h("td", { class: "number" }, usd(call.usd)),
                    ),
                  ),
                ),
              ),
            )
          : "",
        list("Waste: money for nothing", money.waste, "cause"),
        money.unpriced.length
          ? h(
              "section",
              { class: "card" },
              h("h2", {}, "Without a price"),
              h("p", { class: "muted" }, "Their cost is unknown, not zero: add prices to your price file."),
              h(
                "table",
                { class: "grid" },
                h(
                  "tbody",
                  {},
                  money.unpriced.map((row) =>
                    h(
                      "tr",
                      {},
                      h("th", { scope: "row" }, `${row.provider}/${row.model}`),
                      h("td", { class: "number" }, `${short(row.calls)} calls`),
                    ),
                  ),
                ),
              ),
            )
          : "",
        h(
          "section",
          { class: "card" },
          h("h2", {}, "The bill"),
          money.bill.length
            ? h(
                "ul",
                {},
                money.bill.map((one) =>
                  h("li", {}, `${one.provider}: the ledger is ${(one.drift * 100).toFixed(2)} % from the bill`),
                ),
              )
            : h("p", { class: "muted" }, "Not compared yet: ", h("code", {}, "tachograph reconcile"), " does."),
        ),
      ].filter(Boolean),
    );
  }

  csv() {
    if (!this.answer) return;
    const names = ["key", "cost_usd", "calls", "input_tokens", "output_tokens", "unpriced_calls"];
    download("cost.csv", csv([names, ...this.answer.groups.map((group) => names.map((name) => group[name]))]));
  }

  close() {
    this.context.told("");
  }
}
