// Explore: calls, runs, sessions and errors, narrowed by facets, text and range; the trace of the chosen call beside them.

import { console_ } from "../api.js";
import { providerColour, theme } from "../colours.js";
import { download, h, icon, refill, s, toast } from "../dom.js";
import { count, csv, duration, moment, short, shorten, timeOfDay, usd } from "../format.js";
import * as state from "../state.js";
import { drawerFor } from "./drawer.js";
import { comparison, errorTable, groupTable } from "./grouped.js";

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
/** What a person has chosen to see; a live range by its name. */
const CHOICES = [...FILTERS, "what", "sort", "order", "range", "from", "to"];
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
const ONE = { runs: "run", sessions: "session", errors: "group" };
const NOTHING = {
  errors: "No call failed in this range.",
  runs: "No runs in this range.",
  sessions: "No call in this range names a session.",
};

/** @type {[string, string, ((call: any) => any) | null, string][]} */
const COLUMNS = [
  [
    "Time",
    "",
    (call) => (state.range().to - state.range().from > 86400 ? moment(call.time) : timeOfDay(call.time)),
    "time",
  ],
  ["Kind", "extra", (call) => h("span", { class: `tag ${call.kind}` }, call.kind), ""],
  ["Provider / server", "roomy", (call) => whoOf(call), "who"],
  ["Model / tool", "", (call) => nameOf(call), "name"],
  ["Latency", "", null, "latency"],
  ["First token", "wide", (call) => (call.first_token_seconds ? duration(call.first_token_seconds) : ""), "number"],
  ["In", "mid", (call) => (call.input_tokens === null ? "" : short(call.input_tokens)), "number"],
  ["Cached", "extra", (call) => (call.cached_tokens ? short(call.cached_tokens) : ""), "number"],
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

function whoOf(call) {
  const name = call.kind === "tool" ? call.server_id : call.provider;
  return h("span", { title: name }, shorten(name || "", innerWidth < 1700 ? 20 : 28));
}

function nameOf(call) {
  const name = call.kind === "tool" ? call.tool_name : call.model;
  return h("span", { title: name }, shorten(name, innerWidth < 1700 ? 26 : 40));
}

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
    this.more = h("button", { class: "button", hidden: true, onclick: () => this.loadMore() }, "Older calls");
    this.liveButton = h("button", {
      class: "button of-calls",
      "aria-pressed": "false",
      onclick: () => this.togglePause(),
    });
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
    this.message = h("div", { class: "empty" }, h("p", { class: "muted" }, "Reading the calls ..."));
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

          h("span", { class: "spring" }),
          this.liveButton,
          h("button", { class: "button of-calls", onclick: () => this.chooseColumns() }, "Columns"),
          h("button", { class: "button", onclick: () => this.openViews() }, "Saved views"),
          h(
            "button",
            {
              class: "icon-button of-calls",
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
        { class: type === "search" ? "field search" : "field" },
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
    parameters.set("from", String(live ? Math.floor(from) : from));
    parameters.set("to", String(to)); // what is dated later shows when that time comes, as in all views
    if (state.get("sort")) parameters.set("sort", state.get("sort"));
    if (state.get("order")) parameters.set("order", state.get("order"));
    return parameters;
  }

  async refresh() {
    this.syncFilters();
    const what = state.get("what", "calls");
    this.element.dataset.what = what;
    this.drawTabs(what);
    this.drawHead();
    const parameters = this.parameters();
    const chosen = CHOICES.map((name) => state.get(name)).join("\n");
    if (!this.paused || what !== "calls" || chosen !== this.chosen) {
      await Promise.all([
        this.refreshFacets(parameters),
        what === "calls" ? this.refreshCalls(parameters.toString()) : this.refreshOther(what, parameters),
      ]);
      this.chosen = chosen;
    }
    const open = state.get("call");
    if (open && this.drawer?.id !== open) await this.open(open);
    if (!open && this.drawer) this.closeDrawer();
  }

  async refreshCalls(asked) {
    this.other.replaceChildren();
    this.scroll.hidden = false;
    const answer = await console_(`calls?${asked}`);
    this.asked = asked;
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
    refill(
      this.tabs,
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
    refill(
      this.head,
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
    const focused = /** @type {HTMLElement} */ (document.activeElement)?.dataset?.facet;
    const open = this.facets.querySelector("details")?.open ?? innerWidth > 1100;
    this.facets.replaceChildren(
      h(
        "details",
        { open },
        h("summary", {}, "Filters"),
        facets.map(({ name, values, more }) => {
          const names = values.map(({ value }) => value);
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
                    state.set({ [FACETS[name]]: [...chosen].join("~") || null }, { push: true });
                  },
                }),
                h("span", { class: "facet-name" }, shorten(value, 26, names)),
                h("span", { class: "muted" }, count(calls)),
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
    if (what === "compare") {
      const versions = [state.get("version_a"), state.get("version_b")];
      if (versions.every(Boolean))
        versions.forEach((version, i) => parameters.set(["version_a", "version_b"][i], version));
      refill(this.other, comparison(await console_(`compare?${parameters}`), versions));
      return;
    }
    parameters.set("what", what);
    const rows = (await console_(`explore?${parameters}`))[what] || [];
    this.count.textContent = `${rows.length} ${rows.length === 1 ? ONE[what] : `${ONE[what]}s`}${rows.length >= 200 ? ", the newest" : ""}`;
    if (rows.length) refill(this.other, what === "errors" ? errorTable(rows) : groupTable(what, rows));
    else refill(this.other, h("p", { class: "empty" }, NOTHING[what] || "Nothing here."));
  }

  async loadMore() {
    if (!this.cursor) return;
    const answer = await console_(`calls?${this.asked}&cursor=${this.cursor}`); // more of the same range
    this.calls.push(...answer.calls);
    this.cursor = answer.next_cursor;
    this.paused = true;
    this.drawPause();
    this.draw();
  }

  draw() {
    const slowest = Math.max(0.001, ...this.calls.map((call) => call.duration_seconds || 0));
    refill(
      this.body,
      ...this.calls.map((call, index) => {
        const gone = this.hidden();
        const row = h(
          "tr",
          {
            class: index === this.at ? "at" : "",
            dataset: { call: call.id },
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
      refill(
        this.message,
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
          : this.context.newest()
            ? [h("p", {}, "No calls in this range."), h("p", { class: "muted" }, this.context.newest())]
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
    const fill = call.kind === "tool" ? theme().palette.cyan : providerColour(call.provider);
    const bar = s("rect", { width: (share * 46).toFixed(1), height: 8, rx: 2, fill });
    return [
      s("svg", { width: 48, height: 8, class: "latency-bar", "aria-hidden": "true" }, bar),
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
    state.set({ call: id }, { push: !this.drawer }); // the back button closes what was opened
    this.open(id);
  }

  async open(id) {
    this.opening = id;
    const close = () => {
      state.set({ call: null });
      this.closeDrawer();
    };
    let element;
    try {
      element = await drawerFor(id, close);
    } catch (error) {
      if (error.status !== 404) throw error;
      toast(`Call ${id.slice(0, 8)}… is not kept here any more`);
      state.set({ call: null });
      return;
    }
    if (this.opening !== id) return;
    const isNew = !this.drawer;
    this.closeDrawer(true);
    this.drawer = { id, element };
    document.querySelector("#drawer-root").append(element);
    if (isNew) element.querySelector("h2").focus();
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
