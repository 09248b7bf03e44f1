// The shell: bar, time range, live refresh, keyboard, and one view at a time.

import { console_, labelValues } from "./api.js";
import { $, announce, h, icon, refill, s, toast } from "./dom.js";
import { ago, duration, fromInput, moment, toInput, useUtc, zoneName } from "./format.js";
import { isDark } from "./colours.js";
import { remeasure } from "./charts/text.js";
import { tellFiring, tellGone, tellView } from "./attention.js";
import * as state from "./state.js";
import { AlertsView, firingOf, readAll, strip } from "./views/alerts.js";
import { CallsView } from "./views/calls.js";
import { DashboardView } from "./views/dashboard.js";
import { MoneyView } from "./views/money.js";
import { NowView } from "./views/now.js";
import { RunView } from "./views/run.js";

const KEYS = [
  ["?", "This list"],
  ["1 – 6", "Now, LLM Provider, MCP Tools, Alerts, Explore, Money"],
  ["space", "Pause or resume live refresh"],
  ["r", "Refresh now"],
  ["[ ]", "Earlier, later by half a range"],
  ["- +", "Longer, shorter range"],
  ["n", "Back to now"],
  ["d u", "Dark or light, local time or UTC"],
  ["f", "To the first filter"],
  ["j k", "Next, previous call or panel"],
  ["Enter", "Open the call or the panel"],
  ["↑ ↓ Home End", "Through the alerts, or the spans of a run"],
  ["← →", "Move the crosshair in a panel"],
  ["v t c", "View large, table, copy PromQL of a panel"],
  ["Esc", "Close what is open"],
];
const BOARD_IDS = { "tachograph-llm-provider": "llm", "tachograph-mcp-tools": "mcp" };
const RANGE_WORD = {
  "5m": "Last 5 min",
  "15m": "Last 15 min",
  "1h": "Last 1 h",
  "3h": "Last 3 h",
  "6h": "Last 6 h",
  "1d": "Last day",
  "7d": "Last 7 days",
};

const app = {
  dashboards: [],
  views: [],
  view: null,
  current: "",
  status: null,
  timer: 0,
  busy: false,
  began: 0,
  step: 5,
};

async function start() {
  try {
    [app.status, app.dashboards] = await Promise.all([
      console_("status"),
      console_("catalogue").then((answer) => answer.dashboards),
    ]);
  } catch (error) {
    return showFatal(error);
  }
  suitRange();
  app.statusIsFresh = true; // the first refresh need not ask again
  app.step = app.status.step_seconds || 5;
  const boards = app.dashboards.map((one) => ({
    id: BOARD_IDS[one.uid] || one.uid,
    title: one.title,
    board: one,
    make: () => new DashboardView(one, context),
  }));
  app.views = [
    { id: "now", title: "Now", make: () => new NowView(context) },
    ...boards.slice(0, 2),
    { id: "alerts", title: "Alerts", make: () => new AlertsView(context) },
    { id: "calls", title: "Explore", make: () => new CallsView(context) },
    { id: "cost", title: "Money", make: () => new MoneyView(context) },
    ...boards.slice(2),
    { id: "run", title: "Run", hidden: true, make: () => new RunView(context) },
  ];
  try {
    if (localStorage.getItem("tachograph.zone") === "UTC") useUtc(true);
  } catch {
    useUtc(false);
  } // storage may be forbidden
  buildBar();
  state.subscribe(onState);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh().then(fillFilters);
    else clearTimeout(app.timer);
  });
  addEventListener("keydown", onKey);
  printOnWhite();
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => app.view?.redraw?.());
  document.fonts.ready.then(() => {
    remeasure(); // what was drawn before the font came stood in another one
    app.view?.redraw?.();
  });
  show();
  return undefined;
}

function showFatal(error) {
  $("#view").replaceChildren(
    h(
      "div",
      { class: "fatal", role: "alert" },
      h("h1", {}, error.status === 401 ? "Log in" : "The console cannot start"),
      h("p", {}, error.message),
      error.todo ? h("p", { class: "muted" }, error.todo) : null,
      h("button", { class: "button", onclick: () => location.reload() }, "Try again"),
    ),
  );
}

const context = {
  told: (text) => {
    app.source = text;
    drawLive();
    $("#told").textContent = text;
  },
  status: () => app.status,
  zoomOut,
  dialog: openDialog,
  refresh: () => refresh(),
  newest,
  emptyHint: (hasCalls, ofCalls) =>
    hasCalls
      ? ""
      : !ofCalls && app.status.data?.newest_call && !app.status.data.newest_metrics
        ? "This panel reads metrics, and calls alone have come: have the console scrape the application's /metrics."
        : app.status.targets?.some((target) => !target.up)
          ? "A scrape target does not answer: see its state in the bar's tooltip."
          : (newest() ?? [
              "Calls show up here a few seconds after they end. ",
              h("code", {}, "tachograph demo"),
              " makes some.",
            ]),
};

/** Where the newest call is, where it is not in the range; null where it is, or there is none. */
function newest() {
  const at = app.status.data?.newest_call;
  return (at && beforeThis(at)) || null;
}

/** What an empty panel says where calls are kept, of another time. */
function beforeThis(newest) {
  const { from, to } = state.range();
  const half = (to - from) / 2;
  if (newest >= from && newest <= to) return "";
  const around = { from: String(Math.round(newest - half)), to: String(Math.round(newest + half)) };
  return [`The newest call is of ${moment(newest)}. `, h("a", { href: state.hrefOf(app.current, around) }, "Show it")];
}

function buildBar() {
  const nav = h(
    "nav",
    { "aria-label": "Views" },
    app.views
      .filter((view) => !view.hidden)
      .map((view) =>
        h("a", { class: "tab", dataset: { view: view.id }, href: state.hrefOf(view.id) }, tabName(view.title)),
      ),
  );
  app.filters = h("div", { class: "bar-filters" });
  app.rangeButton = h("button", { class: "button", "aria-haspopup": "dialog", onclick: openRange });
  app.liveButton = h("button", { class: "button live", onclick: toggleLive });
  $("#bar").replaceChildren(
    h(
      "a",
      { class: "brand", href: state.hrefOf("now"), "aria-label": "Tachograph" },
      logo(),
      h("span", {}, "tachograph"),
    ),
    nav,
    h("span", { class: "spring" }),
    app.filters,
    h(
      "div",
      { class: "bar-tools" },
      h(
        "button",
        { class: "icon-button", "aria-label": "Earlier", title: "Earlier ( [ )", onclick: () => shift(-0.5) },
        icon("left"),
      ),
      app.rangeButton,
      h(
        "button",
        { class: "icon-button", "aria-label": "Later", title: "Later ( ] )", onclick: () => shift(0.5) },
        icon("right"),
      ),
      h(
        "button",
        { class: "icon-button", "aria-label": "Zoom out", title: "Zoom out ( - )", onclick: zoomOut },
        icon("out"),
      ),
      app.liveButton,
      (app.zoneButton = h("button", { class: "button zone", onclick: toggleZone }, zoneName())),
      h(
        "button",
        { class: "icon-button", "aria-label": "Dark or light", title: "Dark or light ( d )", onclick: toggleTheme },
        icon("theme"),
      ),
      h(
        "button",
        { class: "icon-button", "aria-label": "Keyboard", title: "Keyboard ( ? )", onclick: openKeys },
        icon("help"),
      ),
      app.status.auth === "token"
        ? h(
            "button",
            { class: "icon-button", "aria-label": "Log out", title: "Log out", onclick: logOut },
            icon("leave"),
          )
        : null,
    ),
  );
}

/** End this browser's session; the server's log-in form is shown next. */
async function logOut() {
  try {
    await fetch("logout", { method: "POST", credentials: "same-origin" });
  } catch {
    toast("The console's server does not answer: this browser is still logged in");
    return;
  }
  location.reload();
}

function logo() {
  return s(
    "svg",
    { viewBox: "0 0 24 24", width: 22, height: 22, "aria-hidden": "true", class: "logo" },
    s("circle", { cx: 12, cy: 12, r: 10.4, fill: "none", stroke: "currentColor", "stroke-width": 1.6 }),
    s("path", {
      d: "M4.5 13.2h3.2l1.9-5 3 9.2 2.3-6.2 1.2 2h3.4",
      fill: "none",
      stroke: "currentColor",
      "stroke-width": 1.8,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );
}

function onState() {
  const asked = new URLSearchParams(location.hash.split("?")[1] || "").get("theme");
  if (asked === "dark" || asked === "light") document.documentElement.dataset.theme = asked;
  show();
}

function show() {
  const { view: id } = state.read();
  const entry = app.views.find((view) => view.id === id) || {
    id: `?${id}`,
    title: "No such page",
    make: () => new NoSuchView(id),
  };
  if (entry.id !== app.current) {
    app.view?.close();
    app.current = entry.id;
    app.view = entry.make();
    $("#view").replaceChildren(app.view.element);
    $("#view").setAttribute("aria-busy", "true"); // until what it shows has been read once
    tellView(entry.title);
    scrollTo(0, 0);
  } else {
    app.view.changed?.();
  }
  for (const tab of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll(".tab"))) {
    tab.href = state.hrefOf(tab.dataset.view);
    if (tab.dataset.view === app.current) reach(tab);
    else tab.removeAttribute("aria-current");
  }
  drawRange();
  drawZone();
  buildFilters();
  clearTimeout(app.soon);
  app.soon = setTimeout(() => refresh().then(fillFilters), 10); // what is shown comes before what may be chosen
}

/** A tab's name; on a phone its first word alone. */
function tabName(title) {
  const [first, ...rest] = title.split(" ");
  return rest.length ? [first, h("span", { class: "rest" }, ` ${rest.join(" ")}`)] : title;
}

/** Mark a tab as the current one, and scroll it into sight where not all have room. */
function reach(tab) {
  if (tab.hasAttribute("aria-current")) return;
  tab.setAttribute("aria-current", "page");
  tab.scrollIntoView({ block: "nearest", inline: "center" });
}

/** The window to ask for: aligned to its step, so that a refresh moves points and does not reshape them. */
function windowNow() {
  const { from, to } = state.range();
  const points = Math.min(720, Math.max(120, Math.floor(innerWidth / 2.2)));
  const step = Math.max(app.step, Math.ceil((to - from) / points / app.step) * app.step);
  const end = Math.floor(to / step) * step;
  return { from: Math.floor(from / step) * step, to: end, step, rateInterval: Math.max(app.step * 4, step) };
}

async function refresh() {
  clearTimeout(app.timer);
  if (document.hidden) return;
  if (app.busy) {
    app.again = true;
    return;
  }
  app.busy = true;
  app.liveButton.classList.add("asking");
  const { hash } = location;
  const asked = app.view;
  const results = await Promise.allSettled([asked.refresh(windowNow()), refreshAlerts(), refreshStatus()]);
  app.busy = false;
  if (asked === app.view) $("#view").removeAttribute("aria-busy");
  app.liveButton.classList.remove("asking");
  const failed = results.find((result) => result.status === "rejected")?.reason;
  if (failed?.status === 401) return showFatal(failed);
  showFailure(failed);
  document.documentElement.dataset.refreshed = hash; // the address that everything shown is for
  if (app.again) {
    app.again = false;
    return refresh();
  }
  const every = state.refreshSeconds();
  drawRange();
  if (every && (state.range().live || app.current === "alerts")) app.timer = setTimeout(refresh, every * 1000);
  return undefined;
}

function showFailure(error) {
  tellGone(Boolean(error));
  app.isGone = Boolean(error) && !error.status;
  let box = $("#failure");
  if (!error) {
    box?.remove();
    return;
  }
  if (!box) {
    box = h("div", { id: "failure", class: "failure", role: "alert" });
    $("#view").before(box);
  }
  box.replaceChildren(
    h("b", {}, error.message),
    error.todo ? h("span", {}, ` ${error.todo}`) : "",
    h("button", { class: "button", onclick: refresh }, "Try again"),
  );
}

async function refreshStatus() {
  if (!app.statusIsFresh) app.status = await console_("status");
  app.statusIsFresh = false;
  suitRange();
}

function suitRange() {
  const { now, source, calls_since: calls, metrics_since: metrics } = app.status;
  state.suit(source === "prometheus" ? Infinity : now - Math.min(calls ?? now, metrics ?? now));
}

/** A link to a page that does not exist says so. */
class NoSuchView {
  constructor(id) {
    this.element = h(
      "div",
      { class: "fatal" },
      h("h1", {}, "No such page"),
      h("p", {}, `This console has no page called "${id.slice(0, 60)}".`),
      h("a", { class: "button", href: "#/now" }, "To the first page"),
    );
  }

  async refresh() {
    return undefined;
  }

  close() {
    this.element.remove();
  }
}

async function refreshAlerts() {
  try {
    const { alerts, notify } = await readAll();
    refill($("#alerts"), ...strip(alerts, notify));
    tellFiring(firingOf(alerts));
  } catch (error) {
    if (!error.status || error.status === 401) throw error; // the page says so as a whole
    $("#alerts").replaceChildren(
      h("span", { class: "chip" }, "The state of the alerts cannot be read: ", error.message),
    );
  }
}

function drawRange() {
  const { from, to, live } = state.range();
  app.rangeButton.textContent = live
    ? RANGE_WORD[state.rangeName()] || `Last ${duration(to - from)}`
    : `${moment(from)} – ${moment(to)}`;
  drawLive();
}

function drawLive() {
  const every = state.refreshSeconds();
  const live = state.range().live;
  const fresh = freshness();
  app.liveButton.replaceChildren(
    h("span", { class: "dot", "aria-hidden": "true" }),
    !live ? "To now" : !every ? "Paused" : fresh.short || `Live ${every} s`,
  );
  app.liveButton.classList.toggle("off", !live || !every);
  app.liveButton.setAttribute(
    "aria-label",
    !live ? "Back to now" : every ? `Live, every ${every} seconds. ${fresh.text}. Pause.` : "Paused. Resume.",
  );
  app.liveButton.classList.toggle("stale", fresh.stale);
  const sources = (app.status.targets || [])
    .map((target) => `${target.url}: ${target.up ? "up" : target.last_error || "down"}`)
    .join("\n");
  app.liveButton.title = [app.source, fresh.text, sources].filter(Boolean).join("\n");
}

/** The state of the data, which the dot shows: when something last came, and what does not answer. */
function freshness() {
  const { data = {}, now = Date.now() / 1000 } = app.status;
  if (app.isGone) return { stale: true, short: "No answer", text: "The console's server does not answer" };
  const newest = Math.max(data.newest_metrics || 0, data.newest_call || 0);
  const broken = data.broken || [];
  if (broken.length) return { stale: true, short: "Source silent", text: `Does not answer: ${broken.join(", ")}` };
  if (!newest) return { stale: true, short: "No data yet", text: "No data has come yet" };
  const old = now - newest > Math.max(60, app.step * 4);
  const age = ago(newest, now);
  return { stale: old, short: old ? `Data ${age} old` : "", text: `Newest data ${age} ago` };
}

function toggleLive() {
  if (!state.range().live) state.set({ from: null, to: null });
  else state.set({ refresh: state.refreshSeconds() ? "off" : null });
  refresh();
}

function shift(share) {
  const { from, to } = state.range();
  const by = (to - from) * share;
  const end = Math.min(Date.now() / 1000, to + by);
  state.set({ from: Math.round(end - (to - from)), to: Math.round(end), range: null });
}

function zoomOut() {
  const { from, to, live } = state.range();
  const length = Math.min(7 * 86400, (to - from) * 2);
  if (live) {
    const next = state.RANGES.find((text) => state.seconds(text) >= length * 0.99) || "7d";
    state.set({ range: next });
  } else {
    const middle = (from + to) / 2;
    const end = Math.min(Date.now() / 1000, middle + length / 2);
    state.set({ from: Math.round(end - length), to: Math.round(end) });
  }
}

function zoomIn() {
  const { from, to, live } = state.range();
  if (live) {
    const next = state.RANGES.findLast((text) => state.seconds(text) <= (to - from) / 2 + 1) || "5m";
    state.set({ range: next });
  } else {
    state.set({ from: Math.round(from + (to - from) / 4), to: Math.round(to - (to - from) / 4) });
  }
}

/** One time zone for the whole page, named in the bar. */
function toggleZone() {
  const next = zoneName() !== "UTC";
  useUtc(next);
  try {
    localStorage.setItem("tachograph.zone", next ? "UTC" : "local");
  } catch {
    toast("The choice of time zone could not be kept in this browser");
  }
  drawZone();
  drawRange();
  app.view.redraw?.();
  refresh();
}

function drawZone() {
  app.zoneButton.textContent = zoneName() === "UTC" ? "UTC" : zoneName().split("/").at(-1).replaceAll("_", " ");
  app.zoneButton.title = `All times are in ${zoneName()} ( u )`;
  app.zoneButton.setAttribute("aria-label", `Times in ${zoneName()}. Switch.`);
}

/** Paper is white: the page takes its light colours while it is printed, its charts too. */
function printOnWhite() {
  let before;
  const draw = (theme, paper) => {
    document.documentElement.toggleAttribute("data-paper", paper);
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    app.view?.redraw?.();
  };
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme;
    draw("light", true);
  });
  addEventListener("afterprint", () => draw(before, false));
}

function toggleTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("tachograph.theme", next);
  } catch {
    toast("The choice of theme could not be kept in this browser");
  }
  if (state.get("theme")) state.set({ theme: next });
  app.view.redraw?.();
  refresh();
}

// Filters: the dashboard's variables.
function filtered() {
  const dashboard = app.views.find((view) => view.id === app.current)?.board;
  return (dashboard?.variables || []).filter((variable) =>
    ["provider", "model", "server_id", "tool_name"].includes(variable.name),
  );
}

function buildFilters() {
  const wanted = filtered();
  app.filters.hidden = !app.views.find((view) => view.id === app.current)?.board;
  if (app.filtersOf !== app.current) {
    app.filtersOf = app.current;
    app.filters.replaceChildren(
      ...wanted.map((variable) =>
        h(
          "select",
          {
            name: variable.name,
            "aria-label": variable.label || variable.name,
            onchange: (event) => state.set({ [variable.name]: event.target.value || null }, { push: true }),
          },
          h("option", { value: "" }, `All ${plural(variable.label || variable.name)}`),
        ),
      ),
    );
  }
}

async function fillFilters() {
  const { from, to } = state.range();
  for (const variable of filtered()) {
    if (document.hidden) return;
    const select = app.filters.querySelector(`[name="${variable.name}"]`);
    if (!select || document.activeElement === select) continue;
    const metric =
      variable.metric ||
      (app.current === "mcp" ? "mcp_tool_execute_seconds_count" : "llm_provider_request_seconds_count");
    const provider =
      variable.name === "model" && state.get("provider")
        ? `{provider="${state.get("provider")}"}`
        : variable.name === "tool_name" && state.get("server_id")
          ? `{server_id="${state.get("server_id")}"}`
          : "";
    let values = [];
    try {
      values = await labelValues(variable.name, metric + provider, { from, to });
    } catch {
      continue;
    } // the panels will say what fails
    const chosen = state.get(variable.name);
    const all = [...new Set([...values, ...(chosen ? [chosen] : [])])].sort();
    select.replaceChildren(
      h("option", { value: "" }, `All ${plural(variable.label || variable.name)}`),
      ...all.map((value) => h("option", { value }, value)),
    );
    select.value = chosen;
  }
}

const plural = (text) => {
  const word = text.toLowerCase().replace("_", " ").replace(" id", "").replace(" name", "");
  return `${word}s`;
};

// Dialogs.
function openDialog(title, ...children) {
  const before = document.activeElement;
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-label": title },
    h(
      "header",
      { class: "card-head" },
      h("h2", {}, title),
      h("span", { class: "spring" }),
      h("button", { class: "icon-button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close")),
    ),
    children,
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement) before.focus();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  $("#dialog-root").append(dialog);
  dialog.showModal();
  return dialog;
}

function openKeys() {
  openDialog(
    "Keyboard",
    h(
      "dl",
      { class: "keys" },
      KEYS.map(([key, text]) => [
        h(
          "dt",
          {},
          key.split(" ").map((one) => (one === "–" ? " – " : h("kbd", {}, one))),
        ),
        h("dd", {}, text),
      ]),
    ),
  );
}

function openRange() {
  const { from, to } = state.range();
  const first = h("input", { type: "datetime-local", step: 1, value: toInput(from) });
  const last = h("input", { type: "datetime-local", step: 1, value: toInput(to) });
  const problem = h("p", { class: "bad", role: "alert" });
  const dialog = openDialog(
    "Time range",
    h(
      "div",
      { class: "range-grid" },
      state.RANGES.map((text) =>
        h(
          "button",
          {
            class: `button${state.rangeName() === text ? " chosen" : ""}`,
            onclick: () => {
              dialog.close();
              state.set({ range: text, from: null, to: null }, { push: true });
            },
          },
          RANGE_WORD[text],
        ),
      ),
    ),
    h(
      "form",
      {
        class: "range-form",
        onsubmit: (event) => {
          event.preventDefault();
          const [a, b] = [first, last].map((input) => fromInput(input.value));
          if (!(b > a)) {
            problem.textContent = "The end must come after the beginning.";
            return;
          }
          dialog.close();
          state.set({ from: Math.round(a), to: Math.round(b), range: null }, { push: true });
        },
      },
      h("label", { class: "field" }, h("span", {}, `From (${zoneName()})`), first),
      h("label", { class: "field" }, h("span", {}, "To"), last),
      h("button", { class: "button" }, "Show"),
      problem,
    ),
    h(
      "p",
      { class: "muted" },
      `Kept here: metrics of the last ${duration(app.status.retention_seconds || 21600)}, calls ${app.status.calls_since ? `since ${moment(app.status.calls_since)}` : "none yet"}${app.status.ledger ? ", and before that the ledger's hours" : ""}. Refresh every `,
      [2, 5, 15, 60].map((every) =>
        h(
          "button",
          {
            class: `button small${state.refreshSeconds() === every ? " chosen" : ""}`,
            onclick: () => {
              dialog.close();
              state.set({ refresh: every === 5 ? null : every });
            },
          },
          `${every} s`,
        ),
      ),
    ),
  );
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  if (app.view.key_?.(event)) {
    event.preventDefault();
    return;
  }
  const acts = {
    "?": openKeys,
    r: refresh,
    "[": () => shift(-0.5),
    "]": () => shift(0.5),
    "-": zoomOut,
    "+": zoomIn,
    "=": zoomIn,
    n: () => state.set({ from: null, to: null }),
    d: toggleTheme,
    u: toggleZone,
    f: () => (app.filters.querySelector("select") || document.querySelector(".filters [name]"))?.focus(),
    Escape: () => state.set({ panel: null }),
    j: () => nextPanel(1),
    k: () => nextPanel(-1),
  };
  if (/^[1-6]$/.test(event.key)) {
    location.hash = state.hrefOf(app.views[Number(event.key) - 1].id);
    event.preventDefault();
    return;
  }
  if (event.key === " " && event.target.tagName !== "BUTTON" && event.target.tagName !== "A") {
    toggleLive();
    event.preventDefault();
    return;
  }
  if (acts[event.key]) {
    acts[event.key]();
    event.preventDefault();
  }
}

function nextPanel(step) {
  const panels = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".panel")]);
  const at = panels.indexOf(document.activeElement.closest(".panel"));
  panels[Math.min(panels.length - 1, Math.max(0, at + step))]?.focus();
}

start();
