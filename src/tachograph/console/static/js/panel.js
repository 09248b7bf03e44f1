// A panel: asks its queries, chooses its chart, and keeps what is drawn when asking fails.

import { exemplars, query, queryRange } from "./api.js";
import { assign, named } from "./colours.js";
import { moveCursor, watchCursor } from "./cursor.js";
import { announce, h, icon } from "./dom.js";
import { legend as legendOf, moment, value as shown } from "./format.js";
import { drawLines } from "./panel/lines.js";
import { copyQuery, showTable, toggleMenu } from "./panel/menu.js";
import { drawCursor } from "./panel/pointer.js";
import { fillIn } from "./panel/reading.js";
import { drawEvents, drawGauges, drawHistogram, drawLatencyHeat, drawMatrix } from "./panel/shapes.js";
import { drawStat } from "./panel/stat.js";

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
    /** @type {{labels: object, value: number, time: number, trace: string}[]} */
    this.dots = [];
    /** @type {HTMLElement | null} */
    this.menu = null;
    /** @type {((event: PointerEvent) => void) | undefined} */
    this.menuAway = undefined;
    /** @type {HTMLElement | undefined} */
    this.tip = undefined;
    this.build();
    this.unwatch = watchCursor((time) => drawCursor(this, time));
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
        onclick: () => toggleMenu(this),
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
      this.window = told
        ? { ...window, from: window.board.from, to: window.board.to, step: window.board.step }
        : window;
      this.answers = answers;
      this.element.classList.remove("failed");
      this.note.textContent = "";
      this.element.dataset.window = JSON.stringify([from, to, step, rateInterval]);
      this.draw();
      await this.addDots(variables, window, signal);
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

  /** Exemplars come after the lines, which stand without them. */
  async addDots(variables, window, signal) {
    const asked = this.def.queries.filter((one) => one.exemplars);
    const found = await Promise.all(
      asked.map((one) => exemplars(fillIn(one.expression, variables), window, signal).catch(() => [])),
    );
    const dots = found.flat().filter((dot) => dot.trace);
    if (signal.aborted || JSON.stringify(dots) === JSON.stringify(this.dots)) return;
    this.dots = dots;
    this.draw();
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
    if (kind === "stat") drawStat(this, width);
    else if (kind === "gauge") drawGauges(this, width);
    else if (kind === "table" || (kind === "heatmap" && !this.def.queries[0].buckets)) drawMatrix(this, width);
    else if (kind === "heatmap") drawLatencyHeat(this, width);
    else if (kind === "histogram") drawHistogram(this, width);
    else if (kind === "state-timeline") drawEvents(this, width);
    else drawLines(this, width);
  }

  drawEmpty() {
    this.legend.replaceChildren();
    this.tableHolder.replaceChildren();
    this.body.replaceChildren(
      h(
        "div",
        { class: "panel-empty" },
        h("p", {}, "Nothing in this time range."),
        h(
          "p",
          { class: "muted" },
          this.context.emptyHint(this.fromCalls && this.window.board?.calls > 0, this.fromCalls),
        ),
      ),
    );
  }

  colour(series) {
    const wheel = assign(series);
    return series.map((one, index) => named(this.def.colors?.[one.name]) || wheel[index]);
  }

  // Menu and keyboard.
  onKey(event) {
    if (event.target !== this.element && event.target.closest(".panel-menu, button")) return;
    const act = {
      v: () => this.context.expand(this.def.id),
      t: () => showTable(this),
      c: () => copyQuery(this),
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
}
