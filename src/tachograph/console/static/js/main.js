// The shell: bar, time range, live refresh, keyboard, and one view at a time.

import { console_, labelValues } from "./api.js";
import * as clock from "./clock.js";
import { openDialog, openKeys } from "./dialog.js";
import { $, h, icon, refill, s, toast } from "./dom.js";
import { ago, duration, moment, useUtc, zoneName } from "./format.js";
import { isDark } from "./colours.js";
import { remeasure } from "./charts/text.js";
import { tellFiring, tellGone, tellView } from "./attention.js";
import { openRange, rangeText, shift, zoomIn, zoomOut } from "./range.js";
import * as state from "./state.js";
import { AlertsView, firingOf, readAll, strip } from "./views/alerts.js";
import { CallsView } from "./views/calls.js";
import { DashboardView } from "./views/dashboard.js";
import { MoneyView } from "./views/money.js";
import { NowView } from "./views/now.js";
import { RunView } from "./views/run.js";

const BOARD_IDS = { "tachograph-llm-provider": "llm", "tachograph-mcp-tools": "mcp" };
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
      askStatus(),
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
  app.rangeButton = h("button", { class: "button", "aria-haspopup": "dialog", onclick: () => openRange(app.status) });
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

async function askStatus() {
  const asked = Date.now();
  const status = await console_("status");
  clock.follow(status.now, asked);
  return status;
}

async function refreshStatus() {
  if (!app.statusIsFresh) app.status = await askStatus();
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
  app.rangeButton.textContent = rangeText();
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
  const { data = {}, now = clock.now() } = app.status;
  if (app.isGone) return { stale: true, short: "No answer", text: "The console's server does not answer" };
  const newest = Math.max(data.newest_metrics || 0, data.newest_call || 0);
  const broken = data.broken || [];
  if (broken.length) return { stale: true, short: "Source silent", text: `Does not answer: ${broken.join(", ")}` };
  if (!newest) return { stale: true, short: "No data yet", text: "No data has come yet" };
  const ahead = newest - now;
  if (ahead > 60) {
    const text = `The newest data is dated ${duration(ahead)} ahead of the console's clock: a range ends at now, and shows it then`;
    return { stale: true, short: "Clock ahead", text };
  }
  const old = now - newest > Math.max(60, app.step * 4);
  const age = ago(newest, now);
  return { stale: old, short: old ? `Data ${age} old` : "", text: `Newest data ${age} ago` };
}

function toggleLive() {
  if (!state.range().live) state.set({ from: null, to: null });
  else state.set({ refresh: state.refreshSeconds() ? "off" : null });
  refresh();
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
