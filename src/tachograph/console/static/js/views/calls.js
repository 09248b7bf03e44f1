// Explore: calls, runs, sessions and errors, narrowed by facets, text and range; the trace of the chosen call beside them.

import { console_ } from "../api.js";
import { theme } from "../colours.js";
import { announce, copy, download, h, icon, s, toast } from "../dom.js";
import { clock, csv, duration, moment, short, timeOfDay, usd, value as shown } from "../format.js";
import * as state from "../state.js";
import { callFacts } from "./call.js";

const FACETS = {
  kind: "kind",
  provider: "provider",
  model: "model",
  server_id: "server",
  tool_name: "tool",
  outcome: "outcome",
  error: "error",
  service: "service",
  agent: "agent",
  user_id: "user_id",
  app_version: "app_version",
  finish_reason: "finish_reason",
};
const FACET_WORD = {
  kind: "Kind",
  provider: "Provider",
  model: "Model",
  server_id: "Server",
  tool_name: "Tool",
  outcome: "Outcome",
  error: "Error",
  service: "Service",
  agent: "Agent",
  user_id: "User",
  app_version: "Version",
  finish_reason: "Finish reason",
};
const FILTERS = [...Object.values(FACETS), "session_id", "fingerprint", "label", "min_cost", "min_duration", "q"];
const WHATS = [
  ["calls", "Calls"],
  ["runs", "Runs"],
  ["sessions", "Sessions"],
  ["errors", "Errors"],
  ["compare", "Compare"],
];
const SORTED_BY = {
  Time: "time",
  Latency: "duration",
  "First token": "first_token",
  In: "input",
  Cached: "cached",
  Out: "output",
  Cost: "cost",
  Attempts: "attempts",
  Waits: "wait",
};
const LIMIT = 100;

const COLUMNS = [
  [
    "Time",
    "",
    (call) => (state.range().to - state.range().from > 86400 ? moment(call.time) : timeOfDay(call.time)),
    "time",
  ],
  ["Kind", "wide", (call) => h("span", { class: `tag ${call.kind}` }, call.kind), ""],
  ["Provider / server", "", (call) => (call.kind === "tool" ? call.server_id : call.provider), ""],
  ["Model / tool", "", (call) => (call.kind === "tool" ? call.tool_name : call.model), "name"],
  ["Latency", "", null, "latency"],
  ["First token", "wide", (call) => (call.first_token_seconds ? duration(call.first_token_seconds) : ""), "number"],
  ["In", "mid", (call) => (call.input_tokens === null ? "" : short(call.input_tokens)), "number"],
  ["Cached", "wide", (call) => (call.cached_tokens ? short(call.cached_tokens) : ""), "number"],
  ["Out", "mid", (call) => (call.output_tokens === null ? "" : short(call.output_tokens)), "number"],
  ["Cost", "mid", (call) => costOf(call), "number"],
  [
    "Attempts",
    "wide",
    (call) =>
      call.kind === "tool" || !call.attempts ? "" : call.attempts > 1 ? h("b", {}, String(call.attempts)) : "1",
    "number",
  ],
  ["Waits", "wide", (call) => (call.wait_seconds > 0.0005 ? duration(call.wait_seconds) : ""), "number"],
  ["Outcome", "", (call) => outcomeOf(call), ""],
];

function costOf(call) {
  if (call.kind === "tool") return "";
  if (call.cost_usd === null || call.cost_usd === undefined)
    return call.input_tokens === null
      ? ""
      : h("span", { class: "tag unpriced", title: "No price is known for this model; it is not zero" }, "unpriced");
  return usd(Number(call.cost_usd));
}

function outcomeOf(call) {
  if (call.outcome === "success") return h("span", { class: "good" }, "ok");
  const tone = call.outcome === "cancelled" ? "quiet" : call.outcome === "rate_limited" ? "warn" : "bad";
  return h("span", { class: `pill ${tone}` }, call.error_type || call.error_kind || call.outcome);
}

export class CallsView {
  constructor(context) {
    this.context = context;
    this.calls = [];
    this.paused = false;
    this.body = h("tbody");
    this.more = h("button", { class: "button", onclick: () => this.loadMore() }, "Older calls");
    this.liveButton = h("button", { class: "button", "aria-pressed": "false", onclick: () => this.togglePause() });
    this.count = h("span", { class: "muted" });
    this.table = h(
      "table",
      { class: "grid calls", "aria-label": "Calls, newest first" },
      (this.head = h("thead", {})),
      this.body,
    );
    this.facets = h("aside", { class: "facets", "aria-label": "Facets" });
    this.tabs = h("div", { class: "segmented", role: "group", "aria-label": "What to list" });
    this.other = h("div", { class: "explore-other" });
    this.message = h("div", { class: "empty", hidden: true });
    this.filters = this.buildFilters();
    this.element = h(
      "div",
      { class: "calls-view" },
      h("h1", { class: "sr-only" }, "Explore"),
      this.facets,
      h(
        "section",
        { class: "card" },
        h(
          "header",
          { class: "card-head" },
          this.tabs,
          this.count,
          h("span", { class: "hint muted" }, "j / k move · Enter opens the trace · p pauses"),
          h("span", { class: "spring" }),
          this.liveButton,
          h("button", { class: "button small", onclick: () => this.chooseColumns() }, "Columns"),
          h("button", { class: "button small", onclick: () => this.openViews() }, "Saved views"),
          h(
            "button",
            {
              class: "icon-button",
              title: "Download these calls as CSV",
              "aria-label": "Download these calls as CSV",
              onclick: () => this.csv(),
            },
            icon("down"),
          ),
        ),
        this.filters,
        this.other,
        (this.scroll = h("div", { class: "table-scroll" }, this.table)),
        this.message,
        h("footer", { class: "card-foot" }, this.more),
      ),
    );
    this.drawer = null;
    this.at = -1;
    this.drawPause();
  }

  buildFilters() {
    const change = (name) => (event) => {
      state.set({ [name]: event.target.value.trim() || null });
    };
    const input = (name, label, placeholder, type = "text") =>
      h(
        "label",
        { class: "field" },
        h("span", {}, label),
        h("input", {
          name,
          type,
          placeholder,
          value: state.get(name),
          step: "any",
          min: type === "number" ? 0 : null,
          onchange: change(name),
        }),
      );
    const select = (name, label, values) => {
      const element = h(
        "select",
        { name, onchange: change(name) },
        values.map((value) => h("option", { value }, value || "any")),
      );
      element.value = state.get(name);
      return h("label", { class: "field" }, h("span", {}, label), element);
    };
    const form = h(
      "form",
      { class: "filters", role: "search", "aria-label": "Filter calls", onsubmit: (event) => event.preventDefault() },
      input("q", "Search", "error text, id, model, what was said", "search"),
      input("label", "Label", "team:search"),
      input("min_duration", "Slower than, s", "0", "number"),
      input("min_cost", "Costs more than, $", "0", "number"),
      h(
        "button",
        {
          class: "button quiet",
          type: "button",
          onclick: () => {
            state.set(Object.fromEntries(FILTERS.map((name) => [name, null])));
            this.syncFilters();
          },
        },
        "Clear",
      ),
    );
    return form;
  }

  syncFilters() {
    for (const field of this.filters.querySelectorAll("[name]"))
      if (document.activeElement !== field) field.value = state.get(field.name);
  }

  parameters() {
    const parameters = new URLSearchParams({ limit: String(LIMIT) });
    for (const name of FILTERS) {
      const value = state.get(name);
      if (value) parameters.set(name, value);
    }
    const { from, to, live } = state.range();
    parameters.set("from", live ? Math.floor(from) : from);
    if (!live) parameters.set("to", to);
    if (state.get("sort")) parameters.set("sort", state.get("sort"));
    if (state.get("order")) parameters.set("order", state.get("order"));
    return parameters;
  }

  async refresh() {
    this.syncFilters();
    const what = state.get("what", "calls");
    this.drawTabs(what);
    this.drawHead();
    const parameters = this.parameters();
    const key = parameters.toString();
    if (this.paused && key === this.key) return;
    await Promise.all([
      this.refreshFacets(parameters),
      what === "calls" ? this.refreshCalls(key) : this.refreshOther(what, parameters),
    ]);
    const open = state.get("call");
    if (open && this.drawer?.id !== open) await this.open(open);
    if (!open && this.drawer) this.closeDrawer();
  }

  async refreshCalls(key) {
    this.other.replaceChildren();
    this.scroll.hidden = false;
    const answer = await console_(`calls?${key}`);
    this.key = key;
    const chosen = this.calls[this.at]?.id;
    const { from } = state.range();
    this.context.told(
      answer.kept_since && answer.kept_since > from + 60 ? `Calls are kept since ${moment(answer.kept_since)}.` : "",
    );
    this.calls = answer.calls;
    this.cursor = answer.next_cursor;
    this.count.textContent = this.calls.length
      ? `${answer.total_estimate ? `${answer.total_estimate.toLocaleString("en")} in this range, ` : ""}${this.calls.length} shown`
      : "";
    this.at = this.calls.findIndex((call) => call.id === chosen);
    this.draw();
  }

  drawTabs(what) {
    this.tabs.replaceChildren(
      ...WHATS.map(([id, name]) =>
        h(
          "button",
          {
            class: "segment",
            "aria-pressed": String(what === id),
            onclick: () => state.set({ what: id === "calls" ? null : id }, { push: true }),
          },
          name,
        ),
      ),
    );
  }

  hidden() {
    return new Set(state.get("hide").split("~").filter(Boolean));
  }

  drawHead() {
    const sort = state.get("sort", "time");
    const up = state.get("order") === "asc";
    const gone = this.hidden();
    this.head.replaceChildren(
      h(
        "tr",
        {},
        COLUMNS.map(([name, width, , type]) => {
          if (gone.has(name)) return null;
          const by = SORTED_BY[name];
          if (!by) return h("th", { scope: "col", class: `${width} ${type}` }, name);
          return h(
            "th",
            {
              scope: "col",
              class: `${width} ${type}`,
              "aria-sort": sort === by ? (up ? "ascending" : "descending") : "none",
            },
            h(
              "button",
              {
                class: "sorter",
                onclick: () => state.set({ sort: by === "time" ? null : by, order: sort === by && !up ? "asc" : null }),
              },
              name,
              sort === by ? (up ? " ▲" : " ▼") : "",
            ),
          );
        }),
      ),
    );
  }

  chooseColumns() {
    const gone = this.hidden();
    this.context.dialog(
      "Columns",
      h(
        "div",
        { class: "choices" },
        COLUMNS.map(([name]) =>
          h(
            "label",
            {},
            h("input", {
              type: "checkbox",
              checked: !gone.has(name),
              onchange: (event) => {
                if (event.target.checked) gone.delete(name);
                else gone.add(name);
                state.set({ hide: [...gone].join("~") || null });
              },
            }),
            name,
          ),
        ),
      ),
    );
  }

  async openViews() {
    const { views } = await console_("views");
    const name = h("input", { placeholder: "a name for this view", maxlength: 80, "aria-label": "Name of the view" });
    const post = async (body) => {
      await console_("views", {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "Content-Type": "application/json" },
      });
    };
    const dialog = this.context.dialog(
      "Saved views",
      h(
        "ul",
        { class: "saved" },
        views.map((view) =>
          h(
            "li",
            {},
            h("a", { href: view.address, onclick: () => dialog.close() }, view.name),
            h(
              "button",
              {
                class: "button small",
                onclick: async () => {
                  await post({ name: view.name, address: null });
                  dialog.close();
                  toast("View deleted");
                },
              },
              "Delete",
            ),
          ),
        ),
      ),
      views.length ? "" : h("p", { class: "muted" }, "None yet. A view keeps filters, order and columns under a name."),
      h(
        "form",
        {
          class: "range-form",
          onsubmit: async (event) => {
            event.preventDefault();
            try {
              await post({ name: name.value, address: location.hash });
              dialog.close();
              toast("View saved");
            } catch (error) {
              toast(`${error.message}. ${error.todo}`);
            }
          },
        },
        name,
        h("button", { class: "button" }, "Save this view"),
      ),
    );
  }

  async refreshFacets(parameters) {
    const { facets } = await console_(`explore?${parameters}`);
    if (this.facets.contains(document.activeElement) && JSON.stringify(facets) === this.seenFacets) return;
    this.seenFacets = JSON.stringify(facets);
    const focused = document.activeElement?.dataset?.facet;
    const open = this.facets.querySelector("details")?.open ?? innerWidth > 1100;
    this.facets.replaceChildren(
      h(
        "details",
        { open },
        h("summary", {}, "Filters"),
        facets.map(({ name, values, more }) => {
          const chosen = new Set(state.get(FACETS[name]).split(/[,~]/).filter(Boolean));
          return h(
            "fieldset",
            {},
            h("legend", {}, FACET_WORD[name]),
            values.map(({ value, calls }) =>
              h(
                "label",
                { class: "facet", title: value },
                h("input", {
                  type: "checkbox",
                  checked: chosen.has(value),
                  dataset: { facet: `${name} ${value}` },
                  onchange: (event) => {
                    if (event.target.checked) chosen.add(value);
                    else chosen.delete(value);
                    state.set({ [FACETS[name]]: [...chosen].join("~") || null });
                  },
                }),
                h("span", { class: "facet-name" }, value),
                h("span", { class: "muted" }, short(calls)),
              ),
            ),
            more ? h("p", { class: "muted small" }, `and ${more} more: use the search`) : "",
          );
        }),
      ),
    );
    if (focused) this.facets.querySelector(`[data-facet="${CSS.escape(focused)}"]`)?.focus();
  }

  async refreshOther(what, parameters) {
    this.scroll.hidden = true;
    this.message.hidden = true;
    this.more.hidden = true;
    this.count.textContent = "";
    if (what === "compare") return this.drawCompare(parameters);
    parameters.set("what", what);
    const rows = (await console_(`explore?${parameters}`))[what] || [];
    this.count.textContent = `${rows.length}${rows.length >= 200 ? " newest" : ""}`;
    if (!rows.length) {
      this.other.replaceChildren(
        h(
          "p",
          { class: "empty" },
          {
            errors: "No call failed in this range.",
            runs: "No runs in this range.",
            sessions: "No call in this range names a session.",
          }[what] || "Nothing here.",
        ),
      );
      return undefined;
    }
    if (what === "errors") this.other.replaceChildren(errorTable(rows));
    else
      this.other.replaceChildren(
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
                [
                  what === "runs" ? "Run" : "Session",
                  "Agent",
                  "Service",
                  "Began",
                  "Took",
                  "LLM calls",
                  "Tools",
                  "Failed",
                  "Tokens",
                  "Cost",
                ].map((name) => h("th", { scope: "col" }, name)),
              ),
            ),
            h(
              "tbody",
              {},
              rows.map((row) =>
                h(
                  "tr",
                  {},
                  h(
                    "th",
                    { scope: "row" },
                    h(
                      "a",
                      {
                        class: "mono",
                        href: state.hrefOf("run", what === "runs" ? { id: row.id } : { session: row.id }),
                      },
                      row.id.slice(0, 24),
                    ),
                  ),
                  [
                    row.agent,
                    row.service,
                    moment(row.first),
                    duration(row.seconds),
                    short(row.llm_calls),
                    short(row.tool_calls),
                  ].map((cell) => h("td", {}, String(cell))),
                  h("td", { class: row.failed ? "bad" : "" }, short(row.failed)),
                  h("td", {}, short(row.tokens)),
                  h("td", {}, usd(row.cost)),
                ),
              ),
            ),
          ),
        ),
      );
    return undefined;
  }

  async drawCompare(parameters) {
    const [a, b] = [state.get("version_a"), state.get("version_b")];
    if (a && b) {
      parameters.set("version_a", a);
      parameters.set("version_b", b);
    }
    const found = await console_(`compare?${parameters}`);
    const name = (side, version) => (version ? `Version ${version}` : `${clock(side.from, 1)} – ${clock(side.to, 1)}`);
    const field = (id, label) =>
      h(
        "label",
        { class: "field" },
        h("span", {}, label),
        h("input", {
          name: id,
          value: state.get(id),
          placeholder: "the period before",
          onchange: (event) => state.set({ [id]: event.target.value.trim() || null }),
        }),
      );
    this.other.replaceChildren(
      h("div", { class: "filters" }, field("version_a", "Version A"), field("version_b", "Version B")),
      h(
        "p",
        { class: "muted" },
        a && b
          ? "Two versions in this range."
          : "This range against the one before it. Name two versions to compare those.",
      ),
      h(
        "table",
        { class: "grid compare" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            [
              "",
              `${name(found.a, a && b ? a : "")} (${short(found.a.calls)})`,
              `${name(found.b, a && b ? b : "")} (${short(found.b.calls)})`,
              "Change",
              "Significant",
            ].map((text, i) => h("th", { scope: "col", class: i ? "number" : "" }, text)),
          ),
        ),
        h(
          "tbody",
          {},
          found.rows.map((row) =>
            h(
              "tr",
              { class: row.significant ? "significant" : "" },
              h("th", { scope: "row" }, row.name),
              [row.a, row.b].map((number) => h("td", { class: "number" }, shown(number, row.unit))),
              h(
                "td",
                { class: "number" },
                row.change === null ? "–" : `${row.change > 0 ? "+" : ""}${(row.change * 100).toFixed(1)} %`,
              ),
              h(
                "td",
                { class: "number" },
                row.chance === null ? "too few" : row.significant ? h("b", {}, "yes") : "no",
              ),
            ),
          ),
        ),
      ),
    );
  }

  async loadMore() {
    if (!this.cursor) return;
    const parameters = this.parameters();
    parameters.set("cursor", this.cursor);
    const answer = await console_(`calls?${parameters}`);
    this.calls.push(...answer.calls);
    this.cursor = answer.next_cursor;
    this.paused = true;
    this.key = this.parameters().toString();
    this.drawPause();
    this.draw();
  }

  draw() {
    const slowest = Math.max(0.001, ...this.calls.map((call) => call.duration_seconds || 0));
    this.body.replaceChildren(
      ...this.calls.map((call, index) => {
        const gone = this.hidden();
        const row = h(
          "tr",
          {
            class: index === this.at ? "at" : "",
            tabindex: index === Math.max(0, this.at) ? "0" : "-1",
            "aria-label": `${call.kind} ${call.provider || call.server_id} ${call.model || call.tool_name}, ${duration(call.duration_seconds)}, ${call.error_type || call.error_kind || call.outcome}`,
            onclick: () => {
              this.at = index;
              this.choose(call.id);
            },
            onfocus: () => {
              this.at = index;
            },
          },
          COLUMNS.map(([name, width, cell, type]) =>
            gone.has(name)
              ? null
              : h("td", { class: `${width} ${type}` }, cell ? cell(call) : this.latency(call, slowest)),
          ),
        );
        return row;
      }),
    );
    this.message.hidden = this.calls.length > 0;
    this.table.hidden = this.calls.length === 0;
    this.more.hidden = !this.cursor;
    if (!this.calls.length) {
      const filtered = FILTERS.some((name) => state.get(name));
      this.message.replaceChildren(
        ...(filtered
          ? [
              h("p", {}, "No call matches these filters."),
              h(
                "button",
                {
                  class: "button",
                  onclick: () => {
                    state.set(Object.fromEntries(FILTERS.map((name) => [name, null])));
                    this.syncFilters();
                  },
                },
                "Clear the filters",
              ),
            ]
          : [
              h("p", {}, "No calls yet."),
              h("p", { class: "muted" }, "Send some here: "),
              h("pre", {}, `OTEL_EXPORTER_OTLP_ENDPOINT=${location.origin} tachograph run -- python app.py`),
              h("p", { class: "muted" }, "or run `tachograph demo` in another terminal."),
            ]),
      );
    }
  }

  latency(call, slowest) {
    const share = Math.max(0.012, (call.duration_seconds || 0) / slowest);
    const colours = theme();
    return [
      s(
        "svg",
        { width: 64, height: 8, class: "latency-bar", "aria-hidden": "true" },
        s("rect", {
          width: (share * 62).toFixed(1),
          height: 8,
          rx: 2,
          fill:
            call.kind === "tool"
              ? colours.families.gemini[2]
              : (colours.families[call.provider] || [colours.accent])[0],
        }),
      ),
      h("span", {}, duration(call.duration_seconds || 0)),
    ];
  }

  togglePause() {
    this.paused = !this.paused;
    this.drawPause();
    if (!this.paused) this.refresh();
  }

  drawPause() {
    this.liveButton.replaceChildren(
      icon(this.paused ? "play" : "pause"),
      this.paused ? "Resume the tail" : "Pause the tail",
    );
    this.liveButton.setAttribute("aria-pressed", String(this.paused));
  }

  key_(event) {
    if (event.key === "j" || event.key === "k" || event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "j" || event.key === "ArrowDown" ? 1 : -1;
      this.at = Math.min(this.calls.length - 1, Math.max(0, this.at + step));
      this.draw();
      this.body.children[this.at]?.focus();
      if (this.drawer && this.calls[this.at]) this.choose(this.calls[this.at].id);
      return true;
    }
    if (event.key === "Enter" && this.calls[this.at]) {
      this.choose(this.calls[this.at].id);
      return true;
    }
    if (event.key === "p") {
      this.togglePause();
      return true;
    }
    if (event.key === "/") {
      this.filters.querySelector("[name=q]").focus();
      return true;
    }
    if (event.key === "Escape" && this.drawer) {
      state.set({ call: null });
      this.closeDrawer();
      return true;
    }
    return false;
  }

  choose(id) {
    state.set({ call: id });
    this.open(id);
  }

  async open(id) {
    this.opening = id;
    let call;
    let trace = null;
    try {
      call = await console_(`calls/${encodeURIComponent(id)}`);
      call = call.call || call;
      if (call.trace_id) trace = await console_(`traces/${encodeURIComponent(call.trace_id)}`).catch(() => null);
    } catch (error) {
      announce(error.message);
      if (error.status === 404) state.set({ call: null });
      return;
    }
    if (this.opening !== id) return;
    const isNew = !this.drawer;
    this.closeDrawer(true);
    this.drawer = {
      id,
      element: drawerOf(call, trace, () => {
        state.set({ call: null });
        this.closeDrawer();
      }),
    };
    document.querySelector("#drawer-root").append(this.drawer.element);
    if (isNew) {
      this.before = document.activeElement;
      this.drawer.element.querySelector("h2").focus();
    }
  }

  closeDrawer(quiet = false) {
    this.drawer?.element.remove();
    this.drawer = null;
    if (!quiet) this.body.children[Math.max(0, this.at)]?.focus();
  }

  csv() {
    const names = [
      "id",
      "time",
      "kind",
      "provider",
      "model",
      "response_model",
      "server_id",
      "tool_name",
      "operation",
      "outcome",
      "error_type",
      "error_kind",
      "duration_seconds",
      "first_token_seconds",
      "input_tokens",
      "cached_tokens",
      "output_tokens",
      "cost_usd",
      "cost_quality",
      "attempts",
      "wait_seconds",
      "trace_id",
    ];
    download(
      "calls.csv",
      csv([
        names,
        ...this.calls.map((call) =>
          names.map((name) => (name === "time" ? new Date(call.time * 1000).toISOString() : call[name])),
        ),
      ]),
    );
  }

  close() {
    this.closeDrawer(true);
    this.context.told("");
  }
}

const KIND_WORD = { llm: "llm", tool: "tool", wait: "wait", attempt: "try", agent: "agent", span: "span" };

/** Rows of a waterfall: spans as a tree; attempts and waits of LLM calls under their call. */
export function waterfall(call, trace) {
  const spans = trace?.spans?.length
    ? trace.spans
    : [
        {
          span_id: call.span_id || call.id,
          parent_span_id: null,
          name: call.kind === "tool" ? `${call.server_id}/${call.tool_name}` : `${call.operation} ${call.model}`,
          start_unix: call.time,
          duration_seconds: call.duration_seconds,
          status: call.outcome === "success" ? "ok" : "error",
          attributes: {},
          events: [],
        },
      ];
  const began = Math.min(...spans.map((span) => span.start_unix));
  const known = new Set(spans.map((span) => span.span_id));
  const children = new Map();
  for (const span of spans) {
    const parent = known.has(span.parent_span_id) ? span.parent_span_id : "";
    children.set(parent, [...(children.get(parent) || []), span]);
  }
  const rows = [];
  const walk = (parent, depth) => {
    for (const span of (children.get(parent) || []).sort((a, b) => a.start_unix - b.start_unix)) {
      const attributes = span.attributes || {};
      const kind = kindOf(span);
      const facts = [];
      const input = attributes["gen_ai.usage.input_tokens"] ?? attributes.prompt_tokens;
      const output = attributes["gen_ai.usage.output_tokens"] ?? attributes.completion_tokens;
      if (input !== undefined) facts.push(`${short(Number(input))} → ${short(Number(output ?? 0))} tok`);
      rows.push({
        kind,
        depth,
        span,
        provider:
          attributes.provider ||
          attributes["gen_ai.provider.name"] ||
          (span.span_id === call.span_id ? call.provider : ""),
        name: nameOf(span),
        start: span.start_unix - began,
        length: span.duration_seconds || 0,
        facts: facts.join(" · "),
        failed: span.status === "error" || span.status === 2,
        own: span.span_id === call.span_id,
        error: attributes["error.type"] || attributes.error_type || attributes.error_kind,
      });
      const attempts = span.span_id === call.span_id ? call.attempts_list || call.attempts : null;
      if (kind === "llm" && Array.isArray(attempts)) addAttempts(rows, attempts, span.start_unix - began, depth + 1);
      else addEvents(rows, span, began, depth + 1);
      walk(span.span_id, depth + 1);
    }
  };
  walk("", 0);
  return { rows, length: Math.max(1e-6, ...rows.map((row) => row.start + row.length)), spans: spans.length };
}

function addAttempts(rows, attempts, base, depth) {
  if (attempts.length < 2 && !attempts[0]?.waited_before_seconds) return;
  for (const attempt of attempts) {
    const start = base + (attempt.start_offset || 0);
    if (attempt.waited_before_seconds > 0)
      rows.push({
        kind: "wait",
        depth,
        name: "client-side limit",
        start: start - attempt.waited_before_seconds,
        length: attempt.waited_before_seconds,
      });
    rows.push({
      kind: "attempt",
      depth,
      name: `attempt ${attempt.number}${attempt.status ? ` · ${attempt.status}` : ""}`,
      start,
      length: attempt.duration_seconds || 0,
      failed: attempt.outcome !== "success",
      error: attempt.error_type || (attempt.outcome !== "success" ? attempt.outcome : null),
      attempt,
    });
    if (attempt.slept_seconds > 0.0005)
      rows.push({
        kind: "wait",
        depth,
        name: attempt.error_type === "rate_limit" ? "waiting for the rate limit" : "backing off",
        start: start + (attempt.duration_seconds || 0),
        length: attempt.slept_seconds,
      });
  }
}

function addEvents(rows, span, began, depth) {
  const told = (span.events || []).filter((event) => /attempt|wait|retry/i.test(event.name));
  if (told.length < 2) return; // one attempt is the call itself
  for (const event of told) {
    const length = Number(
      event.attributes?.["duration_seconds"] ??
        event.attributes?.["seconds"] ??
        event.attributes?.["wait_seconds"] ??
        event.attributes?.["waited_seconds"] ??
        0,
    );
    if (!/attempt|wait|retry/i.test(event.name) || !(length > 0)) continue;
    const end = span.start_unix - began + (event.offset_seconds || 0);
    rows.push({
      kind: /wait/i.test(event.name) ? "wait" : "attempt",
      depth,
      name: event.name,
      start: Math.max(0, end - length),
      length,
      failed: /error|rate/.test(String(event.attributes?.outcome || "")),
      error: event.attributes?.error_type,
    });
  }
}

function kindOf(span) {
  const attributes = span.attributes || {};
  if (
    attributes["gen_ai.tool.name"] ||
    attributes.tool_name ||
    span.name.startsWith("mcp.") ||
    span.name.startsWith("tools/") ||
    span.name.startsWith("execute_tool")
  )
    return "tool";
  if (attributes["gen_ai.operation.name"] === "invoke_agent" || /agent/.test(span.name)) return "agent";
  if (attributes["gen_ai.request.model"] || attributes.model || span.name.startsWith("llm.")) return "llm";
  return "span";
}

function nameOf(span) {
  const attributes = span.attributes || {};
  if (span.name === "llm.complete")
    return `${attributes["gen_ai.operation.name"] || "chat"} ${attributes.model || attributes["gen_ai.request.model"] || ""}`;
  if (span.name === "mcp.tool.execute") return `${attributes.server_id || ""}/${attributes.tool_name || ""}`;
  return span.name;
}

function drawerOf(call, trace, onclose) {
  const { rows, length, spans } = waterfall(call, trace);
  const title = call.kind === "tool" ? `${call.server_id} / ${call.tool_name}` : `${call.provider} / ${call.model}`;
  const marks = [0, 0.25, 0.5, 0.75, 1].map((share) => h("span", {}, duration(share * length)));
  return h(
    "aside",
    {
      class: "drawer",
      role: "dialog",
      "aria-label": `Trace of ${title}`,
      onkeydown: (event) => {
        if (event.key === "Escape") {
          onclose();
          event.stopPropagation();
        }
      },
    },
    h(
      "header",
      { class: "drawer-head" },
      h(
        "div",
        {},
        h("h2", { tabindex: "-1" }, title),
        h(
          "p",
          { class: "mono muted" },
          call.trace_id
            ? [
                "trace ",
                h(
                  "button",
                  { class: "linkish mono", title: "Copy the trace id", onclick: () => copy(call.trace_id, "Trace id") },
                  call.trace_id,
                ),
                ` · ${spans} ${spans === 1 ? "span" : "spans"}`,
              ]
            : "no trace: spans are off, or no TracerProvider is set",
        ),
      ),
      h("button", { class: "icon-button", "aria-label": "Close the trace", onclick: onclose }, icon("close")),
    ),
    h(
      "div",
      { class: "waterfall", role: "table", "aria-label": "Waterfall" },
      h(
        "div",
        { class: "wf-row wf-head", role: "row" },
        h("span", { role: "columnheader" }, "Span"),
        h("span", { class: "wf-scale", role: "columnheader", "aria-label": "Time" }, marks),
      ),
      rows.map((row) => wfRow(row, length)),
    ),
    h("h3", {}, "Facts"),
    callFacts(call),
    attributesOf(call, trace),
  );
}

function wfRow(row, length) {
  const colours = theme();
  const wide = 560;
  const x = (row.start / length) * wide;
  const w = Math.max(2, (row.length / length) * wide);
  const tone = row.failed
    ? colours.bad
    : {
        llm: (colours.families[row.provider] || [colours.wheel[1]])[0],
        tool: colours.families.gemini[0],
        agent: colours.wheel[3],
        attempt: colours.good,
        span: colours.wait,
        wait: colours.wait,
      }[row.kind];
  const inside = x + w > wide - 74;
  const pattern =
    row.kind === "wait" ? hatch(x, w, tone) : s("rect", { x, y: 5, width: w, height: 14, rx: 3, fill: tone });
  return h(
    "div",
    { class: `wf-row${row.own ? " own" : ""}`, role: "row" },
    h(
      "span",
      { class: "wf-name", role: "cell", dataset: { depth: String(Math.min(8, row.depth)) } },
      h("span", { class: `tag ${row.kind}` }, KIND_WORD[row.kind]),
      h("span", { class: "wf-title" }, row.name),
      row.error ? h("span", { class: "pill bad" }, row.error) : null,
      row.facts ? h("span", { class: "muted small" }, row.facts) : null,
    ),
    h(
      "span",
      { class: "wf-bar", role: "cell", "aria-label": `from ${duration(row.start)} for ${duration(row.length)}` },
      s("svg", { viewBox: `0 0 ${wide} 24`, preserveAspectRatio: "none", height: 24, "aria-hidden": "true" }, pattern),
      h(
        "span",
        { class: `wf-length ${inside ? "before" : ""}`, dataset: { x: String(inside ? x / wide : (x + w) / wide) } },
        duration(row.length),
      ),
    ),
  );
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

function attributesOf(call, trace) {
  const span = trace?.spans?.find((one) => one.span_id === call.span_id);
  const pairs = Object.entries(span?.attributes || {}).filter(
    ([name]) => !/messages$|call\.arguments$|call\.result$/.test(name),
  );
  return pairs.length
    ? h(
        "details",
        {},
        h("summary", {}, `${pairs.length} attributes of the span`),
        h(
          "dl",
          { class: "facts mono" },
          pairs.map(([name, value]) => [
            h("dt", {}, name),
            h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value)),
          ]),
        ),
      )
    : "";
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
          h("b", {}, short(row.calls)),
          h("span", { class: "mono" }, row.fingerprint),
          h("span", { class: "spring" }),
          h("span", { class: "muted small" }, `${moment(row.first)} – ${moment(row.last)}`),
        ),
        row.error ? h("pre", { tabindex: "0" }, row.error) : "",
        h(
          "p",
          { class: "muted small" },
          [...row.providers, ...row.models].join(" · "),
          " ",
          row.example ? h("a", { href: state.hrefOf("calls", { call: row.example }) }, "the newest one") : "",
          " ",
          h("a", { href: state.hrefOf("calls", { fingerprint: row.fingerprint }) }, "all of them"),
        ),
      ),
    ),
  );
}

/** Places the lengths beside their bars: positions are set by script, since the policy forbids style attributes. */
export function placeLengths(root) {
  for (const element of root.querySelectorAll(".wf-length")) {
    const share = Number(element.dataset.x);
    if (element.classList.contains("before")) {
      element.style.right = `${(1 - share) * 100}%`;
    } else element.style.left = `${share * 100}%`;
  }
}

new MutationObserver(() => placeLengths(document.querySelector("#drawer-root"))).observe(
  document.querySelector("#drawer-root"),
  { childList: true },
);
