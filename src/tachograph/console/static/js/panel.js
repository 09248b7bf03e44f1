// A panel: asks its queries, draws its chart, and keeps legend, tooltip, zoom, table and downloads.

import { console_, exemplars, query, queryRange } from "./api.js";
import { assign, dashes, heat, MEANING, named, theme } from "./colours.js";
import { moveCursor, watchCursor } from "./cursor.js";
import { announce, copy, download, h, icon, key, s, toast } from "./dom.js";
import { csv, legend as legendOf, moment, short, shorten, value as shown } from "./format.js";
import { bars, events, gauges, latencyHeat, matrix } from "./charts/shapes.js";
import { align, sparkline, timeseries } from "./charts/timeseries.js";
import * as state from "./state.js";

const LEGEND_ROWS = 40;
const SEARCH_FROM = 10;
const TOP = 12;
const TOP_LARGE = 60;
const NEW = 3;
const MOST_LINES = 12;

/** Single events near each other become one mark of that size. */
function together(values, near) {
  const found = [];
  for (const [time] of values) {
    const last = found.at(-1);
    if (last && time - last.time < near) {
      last.value += 1;
    } else found.push({ time, value: 1 });
  }
  return found;
}

/** The value now: of the last few steps, or none. An old value is no value of now. */
function latest(row) {
  for (let i = row.length - 1; i >= Math.max(0, row.length - NEW); i -= 1) if (Number.isFinite(row[i])) return row[i];
  return NaN;
}

/** Replace Grafana's variables by what is chosen; what is not chosen matches everything. */
export function fillIn(expression, { choices, rateInterval, range }) {
  return expression.replace(/\$\{?(\w+)\}?/g, (_, name) => {
    if (name === "__rate_interval" || name === "__interval") return `${rateInterval}s`;
    if (name === "__range") return `${Math.max(rateInterval, Math.round(range))}s`;
    return choices[name] ?? ".*";
  });
}

export const regexOf = (values) =>
  values.map((value) => value.replace(/[.*+?^${}()|[\]\\]/g, "\\\\$&").replaceAll('"', '\\"')).join("|");

function deCumulate(result) {
  const sorted = [...result].sort((a, b) => bound(a.metric.le) - bound(b.metric.le));
  let below = null;
  return sorted.map((series) => {
    const pairs = series.values || [series.value];
    const previous = below;
    below = new Map(pairs);
    const values = pairs.map(([time, number]) => [
      time,
      Math.max(0, Number(number) - Number(previous?.get(time) ?? 0)),
    ]);
    return { metric: series.metric, values, value: values.at(-1) };
  });
}

const bound = (le) => (le === "+Inf" ? Infinity : Number(le));

/** Show the call that a trace id stands for, where the console still has it. */
async function openTrace(trace) {
  try {
    const { calls } = await console_(`traces/${encodeURIComponent(trace)}`);
    if (!calls.length) throw new Error("no call of this trace is kept");
    state.set({ call: typeof calls[0] === "string" ? calls[0] : calls[0].id }, { view: "calls", push: true });
  } catch (error) {
    toast(`Trace ${trace.slice(0, 8)}…: ${error.message}`);
  }
}

export class Panel {
  /** @param {import("./catalogue.js").BoardPanel} definition */
  constructor(definition, context) {
    this.def = definition;
    this.context = context;
    this.shown = null;
    /** @type {any} */
    this.chart = null;
    this.search = "";
    /** @type {HTMLInputElement | undefined} */
    this.searchBox = undefined;
    this.abort = null;
    this.build();
    this.unwatch = watchCursor((time) => this.drawCursor(time));
  }

  build() {
    const { def } = this;
    this.titleId = `panel-${def.id}`;
    this.body = h("div", { class: "panel-body" });
    this.legend = h("div", { class: "legend", role: "group", "aria-label": `Series of ${def.title}` });
    this.note = h("span", { class: "panel-note" });
    this.menuButton = h(
      "button",
      {
        class: "icon-button panel-menu-button",
        "aria-haspopup": "menu",
        "aria-expanded": "false",
        "aria-label": `Menu of ${def.title}`,
        onclick: () => this.toggleMenu(),
      },
      icon("menu"),
    );
    this.tableHolder = h("div", { class: "sr-only" });
    this.element = h(
      "section",
      { class: `panel kind-${def.kind}`, "aria-labelledby": this.titleId, tabindex: "-1", dataset: { panel: def.id } },
      h(
        "header",
        { class: "panel-head" },
        h("h3", { id: this.titleId, title: def.description || null }, def.title),
        this.note,
        this.menuButton,
      ),
      this.body,
      this.legend,
      this.tableHolder,
    );
    this.element.tabIndex = 0;
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  close() {
    this.unwatch();
    this.abort?.abort();
    this.element.remove();
  }

  /** Ask and draw. Keeps what is drawn when the asking fails, and says so above it. */
  async refresh(window) {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    const { from, to, step, rateInterval } = window;
    const variables = { choices: this.context.choices(), rateInterval, range: to - from };
    try {
      const told = window.board?.panels?.[this.def.id]; // out of calls, where the console keeps them
      const answers =
        told ||
        (await Promise.all(
          this.def.queries.map((asked) => {
            const expression = fillIn(asked.expression, variables);
            return asked.instant ? query(expression, to, signal) : queryRange(expression, { from, to, step }, signal);
          }),
        ));
      this.fromCalls = Boolean(told);
      const dots = await Promise.all(
        this.def.queries
          .filter((asked) => asked.exemplars)
          .map((asked) => exemplars(fillIn(asked.expression, variables), window, signal).catch(() => [])),
      ); // an extra: the lines stand without
      this.window = told
        ? { ...window, from: window.board.from, to: window.board.to, step: window.board.step }
        : window;
      this.answers = answers;
      this.dots = dots.flat().filter((dot) => dot.trace);
      this.element.classList.remove("failed");
      this.note.textContent = "";
      this.element.dataset.window = JSON.stringify([from, to, step, rateInterval]);
      this.draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.element.classList.add("failed");
      this.note.textContent = "not refreshed";
      const message = h(
        "div",
        { class: "panel-error", role: "alert" },
        h("b", {}, "This panel could not be read. "),
        error.message,
        error.todo ? h("p", {}, error.todo) : null,
      );
      if (this.answers) this.note.title = error.message;
      else this.body.replaceChildren(message);
    } finally {
      if (this.abort?.signal === signal) this.abort = null;
    }
  }

  /** All series of all queries with their names. */
  series() {
    return this.def.queries.flatMap((asked, index) =>
      this.answers[index].map((one) => ({
        name: legendOf(asked.legend, one.metric),
        labels: one.metric,
        values: one.values || [one.value],
        query: index,
        n: one.n ?? null,
        failed: one.failed ?? 0,
      })),
    );
  }

  draw() {
    if (!this.answers || !this.element.isConnected) return;
    const width = Math.max(200, Math.floor(this.body.clientWidth || this.element.clientWidth - 28));
    const { kind } = this.def;
    const empty = this.answers.every((answer) => answer.length === 0);
    if (empty && kind !== "stat") return this.drawEmpty();
    this.cursorLayer = null;
    this.chart = null;
    if (kind === "stat") this.drawStat(width);
    else if (kind === "gauge") this.drawGauges(width);
    else if (kind === "table" || (kind === "heatmap" && !this.def.queries[0].buckets)) this.drawMatrix(width);
    else if (kind === "heatmap") this.drawLatencyHeat(width);
    else if (kind === "histogram") this.drawHistogram(width);
    else if (kind === "state-timeline") this.drawEvents(width);
    else this.drawTimeseries(width);
  }

  drawEmpty() {
    this.legend.replaceChildren();
    this.tableHolder.replaceChildren();
    this.body.replaceChildren(
      h(
        "div",
        { class: "panel-empty" },
        h("p", {}, "Nothing in this time range."),
        h("p", { class: "muted" }, this.context.emptyHint(this.fromCalls && this.window.board?.calls > 0)),
      ),
    );
  }

  colour(series) {
    const wheel = assign(series);
    return series.map((one, index) => named(this.def.colors?.[one.name]) || wheel[index]);
  }

  isolated() {
    const text = state.get(`only.${this.def.id}`);
    return text ? new Set(text.split("~")) : null;
  }

  drawTimeseries(width) {
    const { from, to, step } = this.window;
    let series = this.series();
    let { times, rows } = align(series, this.window);
    let quiet = 0;
    let others = 0;
    const most = this.context.isExpanded(this.def.id) ? TOP_LARGE : TOP;
    if (series.length > most) {
      // the largest, and the others: summed in a stack, left out of lines
      const weight = rows.map((row) => row.reduce((sum, number) => sum + (Number.isFinite(number) ? number : 0), 0));
      const order = rows.map((_, i) => i).sort((a, b) => weight[b] - weight[a]);
      const kept = order.slice(0, most).sort((a, b) => a - b);
      const rest = order.slice(most);
      others = rest.length;
      const sum = new Float64Array(times.length).fill(NaN);
      for (const i of rest)
        rows[i].forEach((number, at) => {
          if (Number.isFinite(number)) sum[at] = (Number.isFinite(sum[at]) ? sum[at] : 0) + number;
        });
      series = kept.map((i) => series[i]);
      rows = kept.map((i) => rows[i]);
      if (this.def.stacked) {
        series.push({ name: `${others} others`, labels: { others: "1" }, values: [], n: null });
        rows.push(sum);
        others = 0;
      }
    }
    if (this.def.stacked) {
      // a stack shows what adds to it; the many that stood at zero all the time are counted instead
      const loud = rows.map((row) => row.some((number) => number > 0));
      quiet = loud.filter((one) => !one).length;
      if (quiet < series.length) {
        series = series.filter((_, i) => loud[i]);
        rows = rows.filter((_, i) => loud[i]);
      } else {
        series = [];
        rows = [];
      }
    }
    const only = this.isolated();
    const visible = series.map(({ name }) => !only || only.has(name));
    const colours = this.colour(series);
    const height = this.context.tall(this.def);
    const mode = this.def.bars ? "bars" : this.def.stacked ? "area" : "line";
    const dashed = mode === "line" ? dashes(series) : null;
    const drawn = timeseries({
      times,
      rows,
      colours,
      dashes: dashed,
      shown: visible,
      mode,
      stacked: this.def.stacked,
      unit: this.def.unit,
      width,
      height,
      from,
      to,
      thresholds: (this.def.thresholds || []).filter(({ value }) => value !== null).map(({ value }) => ({ value })),
      events: this.context.events?.() || [],
      label: this.summary(series, rows),
      minimum: this.def.minimum,
      few:
        this.fromCalls && this.def.queries[0].measure?.stat === "p95"
          ? series.map((one) => new Map(one.values.map(([time, , n]) => [time, n ?? 0])))
          : null,
    });
    this.chart = { times, rows, series, colours, visible, step, dashes: dashed, ...drawn };
    this.body.replaceChildren(drawn.svg);
    this.hover(drawn.svg);
    this.drawDots(drawn, series, colours, visible);
    this.drawLegend(series, rows, colours, visible);
    if (others)
      this.legend.append(
        h(
          "span",
          { class: "legend-item still muted" },
          `${others} smaller ones not drawn: choose a filter, or view large`,
        ),
      );
    if (quiet)
      this.legend.append(
        h(
          "span",
          { class: "legend-item still muted" },
          series.length ? `${quiet} more at zero` : `All ${quiet} series at zero in this range`,
        ),
      );
  }

  /** Exemplars as dots; a click opens the call. The slowest of each stretch is kept, so that they stay few. */
  drawDots({ svg, axes }, series, colours, visible) {
    const { from, to } = this.window;
    const kept = new Map();
    for (const dot of this.dots || []) {
      const at = series.findIndex((one) =>
        Object.entries(one.labels).every(([name, text]) => dot.labels[name] === text),
      );
      if (at < 0 || !visible[at] || dot.time < from || dot.time > to || dot.value > axes.top) continue;
      const place = Math.round(((dot.time - from) / (to - from)) * 36);
      if (!(kept.get(place)?.value > dot.value)) kept.set(place, { ...dot, at });
    }
    for (const dot of kept.values()) {
      const [x, y] = [axes.x(dot.time), axes.y(dot.value)];
      svg.append(
        s(
          "path",
          {
            d: `M${x} ${y - 4}l4 4-4 4-4-4z`,
            fill: theme().surface,
            stroke: colours[dot.at],
            "stroke-width": 1.4,
            class: "exemplar",
            cursor: "pointer",
            onpointerdown: (event) => event.stopPropagation(),
            onclick: () => openTrace(dot.trace),
          },
          s(
            "title",
            {},
            `${series[dot.at].name}: ${shown(dot.value, this.def.unit)} at ${moment(dot.time)}. Click to see its trace.`,
          ),
        ),
      );
    }
  }

  summary(series, rows) {
    const parts = series.slice(0, 12).map(({ name }, index) => {
      return `${name} ${shown(latest(rows[index]), this.def.unit)}`;
    });
    return `${this.def.title}. Now: ${parts.join(", ")}`;
  }

  drawLegend(series, rows, colours, visible) {
    const wanted = (this.search || "").toLowerCase();
    const items = series
      .map(({ name, n }, index) => {
        if (wanted && !name.toLowerCase().includes(wanted)) return null;
        const last = latest(rows[index]);
        return h(
          "button",
          {
            class: `legend-item${visible[index] ? "" : " off"}`,
            "aria-pressed": String(visible[index]),
            title: "Show only this one; with Shift, add or remove it",
            onclick: (event) => this.isolate(name, event.shiftKey || event.ctrlKey || event.metaKey),
          },
          key(colours[index], this.chart.dashes?.[index]),
          h("span", { class: "legend-name", title: name }, shorten(name || "value", 44)),
          h(
            "span",
            { class: "legend-value", title: n === null ? null : `of ${n} ${n === 1 ? "call" : "calls"} in this range` },
            shown(last, this.def.unit),
          ),
        );
      })
      .filter(Boolean);
    if (series.length > SEARCH_FROM) {
      items.unshift(
        (this.searchBox ||= h("input", {
          class: "legend-search",
          type: "search",
          placeholder: "find a series",
          "aria-label": `Find a series of ${this.def.title}`,
          oninput: (event) => {
            this.search = event.target.value;
            this.draw();
            this.searchBox.focus();
          },
        })),
      );
    }
    const focused = document.activeElement?.closest?.(".legend-item");
    const at = focused && this.legend.contains(focused) ? [...this.legend.children].indexOf(focused) : -1;
    this.legend.replaceChildren(...items);
    if (at >= 0) this.legend.children[at]?.focus();
    this.tableHolder.replaceChildren(this.summaryTable(series, rows));
  }

  summaryTable(series, rows) {
    const line = (row) => {
      const finite = row.filter(Number.isFinite);
      if (!finite.length) return [NaN, NaN, NaN, NaN];
      let sum = 0,
        high = -Infinity,
        low = Infinity;
      for (const number of finite) {
        sum += number;
        if (number > high) high = number;
        if (number < low) low = number;
      }
      return [low, sum / finite.length, high, finite.at(-1)];
    };
    return h(
      "table",
      {},
      h("caption", {}, `${this.def.title}, values in this time range`),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["Series", "Lowest", "Mean", "Highest", "Last"].map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        series.slice(0, LEGEND_ROWS).map(({ name }, index) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, name),
            line(rows[index]).map((number) => h("td", { "data-value": String(number) }, shown(number, this.def.unit))),
          ),
        ),
      ),
    );
  }

  isolate(name, add) {
    const now = this.isolated();
    let next;
    if (add) {
      const all = this.chart.series.map((one) => one.name);
      next = new Set(now || all);
      if (next.has(name)) next.delete(name);
      else next.add(name);
      if (next.size === all.length || next.size === 0) next = null;
    } else {
      next = now && now.size === 1 && now.has(name) ? null : new Set([name]);
    }
    state.set({ [`only.${this.def.id}`]: next ? [...next].join("~") : null });
    announce(next ? `Showing ${[...next].join(", ")}` : "Showing all series");
    this.draw();
  }

  drawStat(width) {
    const own = this.series();
    const { rows, times } = align(own, this.window);
    const numbers = own.map(({ values }) => (values.length ? Number(values.at(-1)[1]) : NaN));
    const chosen = this.def.reduce === "worst" ? this.worst(numbers) : 0;
    const sums = this.def.reduce !== "worst" && own.length > 1;
    const value = sums
      ? numbers.filter(Number.isFinite).reduce((sum, number) => sum + number, 0)
      : (numbers[chosen] ?? NaN);
    const row = sums
      ? times.map((_, i) => rows.reduce((sum, one) => sum + (Number.isFinite(one[i]) ? one[i] : 0), 0))
      : rows[chosen] || [];
    const finite = Array.from(row).filter(Number.isFinite);
    const before = finite.slice(0, Math.max(1, Math.floor(finite.length / 2)));
    const mean = before.reduce((sum, number) => sum + number, 0) / (before.length || 1);
    const change = finite.length > 4 && mean > 0 ? (value - mean) / mean : NaN;
    const tone = this.tone(value);
    const trend =
      Number.isFinite(change) && Math.abs(change) >= 0.005
        ? h(
            "span",
            { class: "stat-trend", title: "Against the mean of the first half of this range" },
            `${change > 0 ? "▲" : "▼"} ${Math.abs(change * 100).toFixed(change > 9.99 ? 0 : 1)} %`,
          )
        : null;
    const many = own.length > 1;
    const which = !many
      ? null
      : h(
          "div",
          { class: "stat-of muted" },
          sums
            ? `sum of ${own.length}: ${own
                .map((one) => one.name)
                .slice(0, 3)
                .join(", ")}${own.length > 3 ? " ..." : ""}`
            : [h("b", {}, own[chosen].name), ` is the worst of ${own.length}`],
        );
    const list = many
      ? h(
          "ul",
          { class: "stat-list" },
          own
            .map((one, i) => [numbers[i], one.name])
            .sort((a, b) => this.badness(b[0]) - this.badness(a[0]))
            .slice(0, 5)
            .map(([number, name]) =>
              h("li", {}, h("span", {}, name), h("b", { class: this.tone(number) }, shown(number, this.def.unit))),
            ),
        )
      : null;
    const number = h(
      "div",
      { class: `stat ${tone}` },
      h("span", { class: "stat-value" }, own.length ? shown(value, this.def.unit) : "–"),
      trend,
    );
    const line =
      many || this.def.trend === false || finite.length < 3
        ? null
        : sparkline({ times, row, width, height: 100, colour: theme().accent });
    this.body.replaceChildren(number, which || "", list || "", line ? h("div", { class: "spark-holder" }, line) : "");
    this.legend.replaceChildren();
    this.tableHolder.replaceChildren(this.summaryTable(own, rows));
  }

  tone(value) {
    const limits = (this.def.thresholds || []).filter((limit) => limit.value === null || value >= limit.value);
    return { red: "bad", orange: "warn", yellow: "warn" }[limits.at(-1)?.color] || "";
  }

  /** How bad a value is: by the colour of its threshold first, then by its side of the scale. */
  badness(value) {
    if (!Number.isFinite(value)) return -Infinity;
    const limits = this.def.thresholds || [];
    const lowIsBad = limits.length > 0 && limits[0].color === "red";
    return lowIsBad ? -value : value;
  }

  worst(numbers) {
    let found = 0;
    numbers.forEach((number, index) => {
      if (this.badness(number) > this.badness(numbers[found])) found = index;
    });
    return found;
  }

  drawGauges(width) {
    const items = this.series()
      .map(({ name, values }) => ({ name: name || "all", value: Number(values.at(-1)[1]) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const label = `${this.def.title}: ${items.map((item) => `${item.name} ${item.value}`).join(", ")}`;
    this.body.replaceChildren(gauges({ items, unit: this.def.unit, width, label }));
    this.afterShapes(items.map((item) => [item.name, shown(item.value, this.def.unit), item.value]));
  }

  drawMatrix(width) {
    const [rowLabel, columnLabel] = this.def.matrix || ["server_id", "tool_name"];
    const cells = this.series().map(({ labels, values, n, failed }) => ({
      row: labels[rowLabel] ?? "",
      column: labels[columnLabel] ?? "",
      n,
      failed,
      value: Number(values.findLast(([, text]) => text !== "NaN")?.[1] ?? NaN),
    }));
    const label = `${this.def.title}: ${cells
      .slice(0, 20)
      .map((cell) => `${cell.row} ${cell.column} ${shown(cell.value, this.def.unit)}`)
      .join(", ")}`;
    this.body.replaceChildren(
      matrix({
        cells,
        unit: this.def.unit,
        width,
        marks: [0.02, 12],
        label,
        onpick: (cell) => state.set({ server: cell.row, tool: cell.column }, { view: "calls", push: true }),
      }),
    );
    this.afterShapes(
      cells.map((cell) => [`${cell.row} / ${cell.column}`, shown(cell.value, this.def.unit), cell.value]),
    );
  }

  drawLatencyHeat(width) {
    const { from, to } = this.window;
    const series = deCumulate(this.answers[0].map((one) => ({ ...one, values: one.values || [one.value] })));
    const { times, rows } = align(series, this.window);
    const names = series.map((one) => (one.metric.le === "+Inf" ? "more" : `≤ ${shown(Number(one.metric.le), "s")}`));
    const drawn = latencyHeat({
      rows,
      names,
      times,
      width,
      height: this.context.tall(this.def),
      from,
      to,
      label: this.def.title,
    });
    this.body.replaceChildren(drawn.svg);
    this.chart = {
      times,
      rows,
      series: series.map((one, i) => ({ name: names[i], labels: one.metric })),
      colours: names.map((_, i) => heat(i / names.length).fill),
      visible: names.map(() => true),
      axes: drawn.axes,
      svg: drawn.svg,
      heightAt: null,
    };
    this.hover(drawn.svg);
    this.afterShapes(
      names.map((name, i) => [
        name,
        short(rows[i].reduce((sum, number) => sum + (Number.isFinite(number) ? number : 0), 0)),
      ]),
    );
  }

  drawHistogram(width) {
    const colours = theme();
    const sets = this.def.queries.map((asked, index) => {
      const own = deCumulate(this.answers[index].map((one) => ({ ...one, values: [one.value || one.values.at(-1)] })));
      return { name: (asked.legend || "").split(/[\s≤<{]/)[0] || `query ${index + 1}`, own };
    });
    const les = [...new Set(sets.flatMap((set) => set.own.map((one) => one.metric.le)))].sort(
      (a, b) => bound(a) - bound(b),
    );
    const groups = les.map((le) => (le === "+Inf" ? "more" : `≤ ${shown(Number(le), "s")}`));
    const ready = sets.map((set) => ({
      name: set.name,
      values: les.map((le) => Number(set.own.find((one) => one.metric.le === le)?.value[1] ?? 0)),
    }));
    const label = `${this.def.title}: ${ready.map((set) => `${set.name} ${set.values.reduce((a, b) => a + b, 0).toFixed(0)}`).join(", ")}`;
    const tones = ready.map((set, index) => colours.palette[MEANING[set.name]] || colours.wheel[index]);
    this.body.replaceChildren(
      bars({ groups, sets: ready, unit: "short", width, height: this.context.tall(this.def), label, colours: tones }),
    );
    this.afterShapes(
      ready.flatMap((set) =>
        groups.map((group, index) => [`${set.name} ${group}`, short(set.values[index]), set.values[index]]),
      ),
    );
    this.legend.replaceChildren(
      ...ready.map((set, index) =>
        h(
          "span",
          { class: "legend-item still" },
          key(tones[index]),
          h("span", { class: "legend-name" }, set.name),
          h("span", { class: "legend-value" }, short(Math.round(set.values.reduce((a, b) => a + b, 0)))),
        ),
      ),
    );
  }

  drawEvents(width) {
    const { from, to } = this.window;
    const series = this.series();
    const busy =
      series.length > MOST_LINES
        ? [...series].sort((a, b) => b.values.length - a.values.length).slice(0, MOST_LINES)
        : series;
    const colours = this.colour(busy);
    const lines = busy.map(({ name, values }) => ({
      name,
      points: this.fromCalls ? together(values, (to - from) / 90) : this.happenings(values),
    }));
    const drawn = events({
      lines,
      colours,
      width,
      from,
      to,
      label: `${this.def.title}: ${lines.map((line) => `${line.name} ${line.points.length ? "had events" : "had none"}`).join(", ")}`,
      unit: this.def.unit,
    });
    this.body.replaceChildren(drawn.svg);
    this.chart = { series, ...drawn, times: [], rows: [], visible: [], colours };
    this.hover(drawn.svg, false);
    this.afterShapes(
      lines.map((line) => [
        line.name,
        `${short(line.points.reduce((sum, point) => sum + point.value, 0))} in ${line.points.length} spells`,
      ]),
    );
  }

  /** Runs of a sliding increase become single events: where, and how many. */
  happenings(values) {
    const { from, to, step, rateInterval } = this.window;
    const longest = Math.max(rateInterval * 1.5, (to - from) / 48);
    const found = [];
    let run = null;
    for (const [time, text] of values) {
      const value = Number(text);
      if (!(value > 0.01)) {
        run = null;
        continue;
      }
      if (!run || time - run.began > longest) {
        run = { began: time, weight: 0, moment: 0 };
        found.push(run);
      }
      run.weight += value;
      run.moment += value * time;
    }
    return found.map((one) => ({
      time: Math.max(from, one.moment / one.weight - rateInterval / 2),
      value: Math.max(1, Math.round((one.weight * step) / rateInterval)),
    }));
  }

  afterShapes(pairs) {
    this.legend.replaceChildren();
    this.tableHolder.replaceChildren(
      h(
        "table",
        {},
        h("caption", {}, this.def.title),
        h(
          "tbody",
          {},
          pairs.map(([name, text, number]) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, name),
              h("td", { "data-value": number === undefined ? null : String(number) }, text),
            ),
          ),
        ),
      ),
    );
  }

  // Pointer: crosshair and tooltip, drag to zoom.
  hover(svg, tips = true) {
    const { plot } = this.chart.axes;
    const { from, to } = this.window;
    const timeAt = (event) => {
      const box = svg.getBoundingClientRect();
      const at = (event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width);
      return (
        from + ((Math.min(plot.right, Math.max(plot.left, at)) - plot.left) / (plot.right - plot.left)) * (to - from)
      );
    };
    this.cursorLayer = s("g", { "pointer-events": "none" });
    svg.append(this.cursorLayer);
    let began = null;
    let mark = null;
    svg.addEventListener("pointermove", (event) => {
      const time = timeAt(event);
      this.hovered = tips;
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
      this.hovered = false;
      this.hideTip();
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
    svg.addEventListener("dblclick", () => this.context.zoomOut());
  }

  drawCursor(time) {
    const layer = this.cursorLayer;
    if (!layer || !this.chart?.axes) return;
    layer.replaceChildren();
    if (time === null || time < this.window.from || time > this.window.to) return;
    const { axes, times, colours, visible, heightAt } = this.chart;
    const { plot } = axes;
    const x = axes.x(time);
    layer.append(
      s("line", { x1: x, x2: x, y1: plot.top, y2: plot.bottom, stroke: theme().cursor, "stroke-dasharray": "3 3" }),
    );
    if (heightAt && times.length) {
      const at = Math.min(times.length - 1, Math.max(0, Math.round((time - times[0]) / this.chart.step)));
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
    if (this.hovered) this.showTip(time, x);
  }

  showTip(time, x) {
    const { times, rows, series, colours, visible } = this.chart;
    if (!times.length) return;
    const step = times.length > 1 ? times[1] - times[0] : 1;
    const at = Math.min(times.length - 1, Math.max(0, Math.round((time - times[0]) / step)));
    const lines = series
      .map((one, index) => ({ name: one.name, number: rows[index][at], colour: colours[index], shown: visible[index] }))
      .filter((line) => line.shown && Number.isFinite(line.number))
      .sort((a, b) => (this.def.stacked || this.def.queries[0].buckets ? 0 : b.number - a.number));
    const kept = lines.slice(0, 14);
    if (!this.tip) this.body.append((this.tip = h("div", { class: "tip", "aria-hidden": "true" })));
    else if (!this.tip.isConnected) this.body.append(this.tip);
    const unit = this.def.kind === "heatmap" ? "short" : this.def.unit;
    this.tip.replaceChildren(
      h("div", { class: "tip-time" }, moment(times[at])),
      ...kept.map((line) =>
        h(
          "div",
          { class: "tip-line" },
          key(line.colour),
          h("span", {}, shorten(line.name || "value", 44)),
          h("b", {}, shown(line.number, unit)),
        ),
      ),
      lines.length > kept.length ? h("div", { class: "muted" }, `and ${lines.length - kept.length} more`) : "",
    );
    const wide = this.tip.offsetWidth;
    const space = this.body.clientWidth;
    this.tip.style.left = `${Math.max(0, x + 16 + wide > space ? x - wide - 16 : x + 16)}px`;
  }

  hideTip() {
    this.tip?.remove();
  }

  // Menu and keyboard.
  onKey(event) {
    if (event.target !== this.element && event.target.closest(".panel-menu, button")) return;
    const act = {
      v: () => this.context.expand(this.def.id),
      t: () => this.showTable(),
      c: () => this.copyQuery(),
      Enter: () => this.context.expand(this.def.id),
    }[event.key];
    if (act) {
      event.preventDefault();
      event.stopPropagation();
      act();
      return;
    }
    if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && this.chart?.times?.length) {
      const { times } = this.chart;
      this.keyAt = Math.min(
        times.length - 1,
        Math.max(0, (this.keyAt ?? times.length) + (event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1)),
      );
      this.hovered = true;
      moveCursor(times[this.keyAt]);
      announce(
        `${moment(times[this.keyAt])}: ${this.chart.series
          .slice(0, 6)
          .map((one, i) => `${one.name} ${shown(this.chart.rows[i][this.keyAt], this.def.unit)}`)
          .join(", ")}`,
      );
      event.preventDefault();
    }
  }

  toggleMenu() {
    if (this.menu) return this.closeMenu();
    const item = (name, text, key, act) =>
      h(
        "button",
        {
          role: "menuitem",
          onclick: () => {
            this.closeMenu();
            act();
          },
        },
        icon(name),
        h("span", {}, text),
        key ? h("kbd", {}, key) : null,
      );
    this.menu = h(
      "div",
      { class: "panel-menu", role: "menu", "aria-label": `Menu of ${this.def.title}` },
      this.def.description ? h("p", { class: "menu-about" }, this.def.description) : null,
      item("expand", this.context.isExpanded(this.def.id) ? "Back to the dashboard" : "View large", "v", () =>
        this.context.expand(this.def.id),
      ),
      item("table", "View as a table", "t", () => this.showTable()),
      item("copy", "Copy PromQL", "c", () => this.copyQuery()),
      item("down", "Download CSV", "", () => this.downloadCsv()),
      item("down", "Download SVG", "", () => this.downloadSvg()),
      item("down", "Download PNG", "", () => this.downloadPng()),
    );
    this.element.append(this.menu);
    this.menuButton.setAttribute("aria-expanded", "true");
    this.menu.querySelector("button").focus();
    this.menu.addEventListener("keydown", (event) => {
      const items = [...this.menu.querySelectorAll("button")];
      const at = items.indexOf(document.activeElement);
      if (event.key === "Escape") {
        this.closeMenu();
        this.menuButton.focus();
      } else if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
      else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length].focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.menuAway = (event) => {
      if (!this.menu?.contains(event.target) && !this.menuButton.contains(event.target)) this.closeMenu();
    };
    setTimeout(() => document.addEventListener("pointerdown", this.menuAway));
  }

  closeMenu() {
    this.menu?.remove();
    this.menu = null;
    this.menuButton.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", this.menuAway);
  }

  expressions() {
    const { from, to, rateInterval } = this.window || this.context.window();
    return this.def.queries.map((asked) =>
      fillIn(asked.expression, { choices: this.context.choices(), rateInterval, range: to - from }),
    );
  }

  copyQuery() {
    copy(this.expressions().join("\n\n"), "PromQL");
  }

  /** Rows of the data behind the chart: header first. */
  data() {
    const series = this.series();
    if (series.every((one) => one.values.length <= 1)) {
      return [["series", this.def.unit], ...series.map((one) => [one.name, Number(one.values[0]?.[1])])];
    }
    const { times, rows } = align(series, this.window);
    return [
      ["time", ...series.map((one) => one.name)],
      ...Array.from(times, (time, i) => [
        new Date(time * 1000).toISOString(),
        ...rows.map((row) => (Number.isFinite(row[i]) ? row[i] : "")),
      ]),
    ];
  }

  showTable() {
    if (!this.answers) return;
    const [head, ...rows] = this.data();
    this.context.dialog(
      this.def.title,
      h(
        "div",
        { class: "table-scroll", tabindex: "0" },
        h(
          "table",
          { class: "grid" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              head.map((name) => h("th", { scope: "col" }, name)),
            ),
          ),
          h(
            "tbody",
            {},
            rows
              .slice(-500)
              .reverse()
              .map((row) =>
                h(
                  "tr",
                  {},
                  row.map((cell, i) =>
                    i ? h("td", {}, cell === "" ? "–" : shown(cell, this.def.unit)) : h("th", { scope: "row" }, cell),
                  ),
                ),
              ),
          ),
        ),
      ),
    );
  }

  fileName(ending) {
    return `${this.def.id}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${ending}`;
  }

  downloadCsv() {
    download(this.fileName("csv"), csv(this.data()));
  }

  svgText() {
    const source = this.body.querySelector("svg");
    const copied = source.cloneNode(true);
    copied.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copied.prepend(s("rect", { width: "100%", height: "100%", fill: theme().surface }));
    return new XMLSerializer().serializeToString(copied);
  }

  downloadSvg() {
    download(this.fileName("svg"), new Blob([this.svgText()], { type: "image/svg+xml" }));
  }

  downloadPng() {
    const source = this.body.querySelector("svg");
    const [wide, tall] = [source.clientWidth, source.clientHeight];
    const image = new Image();
    const address = URL.createObjectURL(new Blob([this.svgText()], { type: "image/svg+xml" }));
    image.onload = () => {
      const canvas = h("canvas", { width: wide * 2, height: tall * 2 });
      const pen = canvas.getContext("2d");
      pen.scale(2, 2);
      pen.drawImage(image, 0, 0);
      canvas.toBlob((blob) => download(this.fileName("png"), blob), "image/png");
      URL.revokeObjectURL(address);
    };
    image.src = address;
  }
}
