// One dashboard of the catalogue: rows of panels, folded rows below, one panel large on demand.

import { console_, queryRange } from "../api.js";
import { h } from "../dom.js";
import { legend, moment } from "../format.js";
import { Panel } from "../panel.js";
import { fillIn, regexOf } from "../panel/reading.js";
import * as state from "../state.js";

const slug = (text) =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");

/** @typedef {import("../catalogue.js").Board} Board */
/** @typedef {import("../catalogue.js").BoardPanel} BoardPanel */
/** @typedef {{time: number, color: string, title: string}} Mark */

export class DashboardView {
  /** @param {Board} dashboard */
  constructor(dashboard, context) {
    this.dashboard = dashboard;
    this.context = context;
    /** @type {Panel[]} */
    this.panels = [];
    /** @type {Mark[]} */
    this.marks = [];
    this.isFirst = true;
    this.element = h("div", { class: "dashboard" });
    this.build();
    this.onResize = () => {
      clearTimeout(this.resizing);
      this.resizing = setTimeout(() => this.panels.forEach((panel) => panel.draw()), 120);
    };
    addEventListener("resize", this.onResize);
  }

  build() {
    this.panels.forEach((panel) => panel.close());
    this.panels = [];
    const expanded = state.get("panel");
    this.expanded = expanded;
    this.opened = state.get("open");
    this.open = new Set(this.opened.split("~").filter(Boolean));
    const pieces = [];
    for (const row of this.dashboard.rows) {
      const { folded, panels: definitions } = row;
      const id = slug(row.title || "row");
      const isOpen = !folded || this.open.has(id);
      if (expanded) {
        const one = definitions.find((panel) => panel.id === expanded);
        if (one)
          pieces.push(
            h("h2", { class: "sr-only" }, row.title || "Panel"),
            h("div", { class: "panels single" }, this.make(one, true)),
          );
        continue;
      }
      if (folded) {
        pieces.push(
          h(
            "h2",
            { class: "row-title" },
            h(
              "button",
              {
                class: "row-toggle",
                dataset: { row: id },
                "aria-expanded": String(isOpen),
                onclick: () => this.toggleRow(id),
              },
              h("span", { class: "chevron", "aria-hidden": "true" }, "›"),
              row.title,
              h("span", { class: "muted" }, ` ${definitions.length} ${definitions.length === 1 ? "panel" : "panels"}`),
            ),
          ),
        );
      } else {
        pieces.push(h("h2", { class: "sr-only" }, row.title));
      }
      if (isOpen)
        pieces.push(
          h(
            "div",
            { class: "panels" },
            definitions.map((one) => this.make(one, false)),
          ),
        );
    }
    if (expanded && !pieces.length) {
      const what = `The dashboard ${this.dashboard.title} has no panel called "${expanded.slice(0, 60)}".`;
      pieces.push(h("div", { class: "fatal" }, h("h2", {}, "No such panel"), h("p", {}, what)));
    }
    if (expanded) {
      const back = h("a", { href: state.hrefOf(state.read().view) }, `← ${this.dashboard.title}`);
      pieces.unshift(h("p", { class: "crumb" }, back));
    }
    this.element.replaceChildren(h("h1", { class: "sr-only" }, this.dashboard.title), ...pieces);
  }

  /** @param {BoardPanel} one */
  make(one, large) {
    const panel = new Panel(one, {
      ...this.context,
      choices: () => this.choices(),
      events: () => this.marks,
      window: () => this.window,
      tall: (panel_) =>
        large
          ? Math.max(240, Math.min(innerHeight - 360, 720))
          : Math.max(120, Math.min((panel_.height || 8) * 30 - 20, innerHeight - 260)),
      expand: (id) => {
        state.set({ panel: state.get("panel") === id ? null : id }, { push: true });
      },
      isExpanded: () => Boolean(state.get("panel")),
    });
    const wide = large ? 24 : one.width || 12;
    panel.element.style.gridColumn = `span ${Math.min(24, Math.max(4, wide))}`;
    this.panels.push(panel);
    return panel.element;
  }

  toggleRow(id) {
    if (this.open.has(id)) this.open.delete(id);
    else this.open.add(id);
    state.set({ open: [...this.open].join("~") || null });
    this.element.querySelector(`[data-row="${id}"]`)?.focus();
  }

  /** Values of the dashboard's variables as regular expressions. */
  choices() {
    const chosen = {};
    for (const variable of this.dashboard.variables || []) {
      const text = state.get(variable.name);
      if (text) chosen[variable.name] = regexOf(text.split("~"));
      else if (variable.default) chosen[variable.name] = regexOf([variable.default]);
    }
    return chosen;
  }

  changed() {
    if (state.get("panel") !== this.expanded || state.get("open") !== this.opened) this.build();
  }

  async refresh(window_) {
    const { from, to } = state.range();
    const asked = new URLSearchParams({ from: String(from), to: String(to) });
    for (const name of ["source", ...(this.dashboard.variables || []).map((variable) => variable.name)]) {
      const value = state.get(name);
      if (value) asked.set(name, value.replaceAll("~", "|"));
    }
    asked.set("panels", this.panels.map((panel) => panel.def.id).join(",")); // those of folded rows are not asked for
    const board = await console_(`board/${encodeURIComponent(this.dashboard.uid)}?${asked}`);
    if (board.source === "calls") {
      // exact numbers end now, not at the last whole step
      board.from = Math.floor(board.from / board.step) * board.step;
      board.to = Math.ceil(board.to / board.step) * board.step;
    }
    this.window = { ...window_, board };
    this.context.told(this.sourceText(board, from));
    const drawn = [];
    for (const panel of this.panels) {
      drawn.push(panel.refresh(this.window));
      if (this.isFirst) await new Promise((go) => setTimeout(go)); // the first panels are seen while the others are drawn
    }
    this.isFirst = false;
    await Promise.all([...drawn, this.addMarks(this.readMarks(window_))]);
  }

  /** Marks come after the lines, which stand without them. */
  async addMarks(marks) {
    const found = await marks;
    if (JSON.stringify(found) === JSON.stringify(this.marks)) return;
    this.marks = found;
    this.redraw();
  }

  /** The dashboard's annotations: when alerts fired and processes started. Rate limits have a panel of their own. */
  async readMarks({ from, to, step, rateInterval }) {
    const asked = this.dashboard.annotations.filter((mark) => mark.name !== "Rate limited");
    const variables = { choices: this.choices(), rateInterval, range: to - from };
    const found = await Promise.all(
      asked.map((mark) =>
        queryRange(fillIn(mark.expression, variables), { from, to, step }, undefined).catch(() => []),
      ),
    ); // an extra: the panels stand without
    const isFirst = (values, index) => index === 0 || values[index][0] - values[index - 1][0] > step * 1.5;
    return found
      .flatMap((series, place) =>
        series.flatMap(({ metric, values }) =>
          values
            .filter((_, index) => isFirst(values, index))
            .map(([time]) => ({ time, color: asked[place].color, title: titleOf(asked[place], metric) })),
        ),
      )
      .filter(({ time }) => time > from + step);
  }

  sourceText(board, from) {
    const parts = [
      board.source === "calls"
        ? `${board.calls ? `From ${board.calls.toLocaleString("en")} calls` : "No calls in this range"}${board.from_ledger ? ", the older part from the ledger by the hour" : ""}`
        : `From metrics: ${board.why}`,
    ];
    if (board.known_since > from + 60) parts.push(`nothing is kept before ${moment(board.known_since)}`);
    return parts.join("; ");
  }

  redraw() {
    this.panels.forEach((panel) => panel.draw());
  }

  close() {
    removeEventListener("resize", this.onResize);
    this.context.told("");
    this.panels.forEach((panel) => panel.close());
  }
}

/** What a mark says: its title and text, with the labels of its series in them. */
const titleOf = (mark, labels) => `${legend(mark.title, labels)} ${legend(mark.text, labels)}`.trim();
