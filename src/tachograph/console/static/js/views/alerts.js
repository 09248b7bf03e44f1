// Every alert with its state, and the chosen one as an incident: what it hits, whose fault, what happened, what to do.

import { console_ } from "../api.js";
import { h, icon, refill, roving, stopAt, table, toast, toned } from "../dom.js";
import { ago, clock, count, duration, few, moment, short, shorten, span, usd } from "../format.js";
import { errorTable } from "./grouped.js";
import * as state from "../state.js";

const WORD = { firing: "Firing", pending: "Pending", inactive: "Quiet" };

/** Alert rules of all groups, the loudest first. */
export const readAlerts = async () => (await console_("alerts")).alerts;

/** The same, with the receivers of notifications. */
export const readAll = () => console_("alerts");

/** How many rules are quiet; the watchdog always fires and is none of them. */
function quietText(rules) {
  const count = rules.filter((rule) => rule.state === "inactive").length;
  return `${count} ${count === 1 ? "rule" : "rules"} quiet`;
}

const isWatchdog = (rule) => rule.labels?.severity === "none";
const SHOWN = 3;

const isLoud = (rule) => rule.state !== "inactive" && !isWatchdog(rule) && rule.labels?.severity !== "info";

/** The alerts that need a look: they fire or are about to, and no silence holds for them. */
const loudOf = (alerts) => alerts.filter((rule) => isLoud(rule) && !rule.silenced_until);

/** The names of those that fire. */
export const firingOf = (alerts) => loudOf(alerts).flatMap((rule) => (rule.state === "firing" ? [rule.name] : []));

/** The strip under the bar, one line: what fires, what is about to, and how many are quiet. */
export function strip(alerts, notify = { receivers: [], error: null }) {
  const loud = loudOf(alerts);
  const silenced = alerts.filter((rule) => isLoud(rule) && rule.silenced_until).length;
  const most = innerWidth < 720 ? 1 : SHOWN;
  const chips = loud.slice(0, most).map((rule) => {
    const first = rule.alerts[0];
    const lasts = first?.activeAt ? ` for ${ago(Date.parse(first.activeAt) / 1000)}` : "";
    const text = `${rule.state === "pending" ? "pending · " : ""}${first?.annotations?.summary || ""}${lasts}`;
    const severity = `severity-${rule.labels?.severity || "none"}`;
    return h(
      "a",
      { class: `chip loud ${rule.state} ${severity}`, href: state.hrefOf("alerts", { alert: rule.name }), title: text },
      h("span", { class: "dot", "aria-hidden": "true" }),
      h("b", {}, rule.name),
      h("span", { class: "chip-text" }, text),
    );
  });
  const all = state.hrefOf("alerts");
  const rest = loud.slice(most);
  if (rest.length) {
    const firing = rest.some((rule) => rule.state === "firing") ? "firing" : "pending";
    const names = rest.map((rule) => rule.name).join(", ");
    chips.push(h("a", { class: `chip ${firing}`, href: all, title: names }, `and ${rest.length} more`));
  }
  const dot = h("span", { class: "dot", "aria-hidden": "true" });
  chips.push(h("a", { class: "chip ok", href: all }, dot, quietText(alerts)));
  for (const one of notify.receivers.filter((receiver) => receiver.failing_since)) {
    const text = `${one.name} gets no notifications`;
    chips.push(h("span", { class: "chip firing", title: one.last_error || "" }, text));
  }
  if (notify.error)
    chips.push(h("span", { class: "chip", title: notify.error }, "no notifications are sent from here"));
  if (silenced) chips.push(h("a", { class: "chip", href: all }, `${silenced} silenced`));
  return chips;
}

export class AlertsView {
  constructor(context) {
    this.context = context;
    this.told = h("p", { class: "muted" }, "Reading the rules ...");
    this.loud = h("div", { role: "list", "aria-label": "Alerts that fire or are pending" });
    this.quiet = h("div", { role: "list", "aria-label": "Quiet rules" });
    this.count = h("b", {});
    this.search = h("input", {
      type: "search",
      placeholder: "find a rule",
      "aria-label": "Find a rule",
      oninput: () => this.refresh(),
    });
    const quiet = h(
      "header",
      { class: "card-head quiet-head" },
      this.count,
      h("span", { class: "spring" }),
      this.search,
    );
    this.list = roving(h("div", { class: "alert-list" }, this.told, this.loud, quiet, this.quiet), ".alert-row");
    this.book = h(
      "article",
      { class: "card runbook", "aria-label": "Incident", tabindex: "0" },
      h("p", { class: "muted" }, ""),
    );
    this.element = h(
      "div",
      { class: "alerts-view" },
      h("h1", { class: "sr-only" }, "Alerts"),
      h("section", { class: "card", "aria-label": "Rules" }, this.list),
      this.book,
    );
  }

  async refresh() {
    const alerts = await readAlerts();
    this.told.textContent = this.context.status().rules_told;
    this.told.hidden = !this.told.textContent;
    if (!alerts.length) {
      this.loud.replaceChildren(
        h(
          "p",
          { class: "empty", role: "listitem" },
          "No alert rules are loaded. ",
          h(
            "span",
            { class: "muted" },
            "The console evaluates the rules that `tachograph export` writes; with --prometheus it shows the ones Prometheus has loaded.",
          ),
        ),
      );
      return;
    }
    const chosen = state.get("alert") || alerts[0].name;
    const seen = new Set();
    const row = (rule) => this.row(rule, rule.name === chosen && !seen.has(rule.name) && seen.add(rule.name));
    const isQuiet = (rule) => rule.state === "inactive" || isWatchdog(rule);
    const loud = alerts.filter((rule) => !isQuiet(rule));
    const wanted = this.search.value.trim().toLowerCase();
    const quiet = alerts.filter((rule) => isQuiet(rule) && `${rule.name} ${rule.group}`.toLowerCase().includes(wanted));
    refill(
      this.loud,
      ...(loud.length ? loud.map(row) : [h("p", { class: "empty good", role: "listitem" }, "No alert fires.")]),
    );
    refill(this.quiet, ...quiet.map(row));
    this.count.textContent = quietText(quiet);
    stopAt(this.list, ".alert-row", this.list.querySelector(".alert-row.chosen"));
    await this.read(chosen);
  }

  row(rule, chosen) {
    const worst = rule.alerts[0];
    const since = worst?.activeAt ? Date.parse(worst.activeAt) / 1000 : null;
    return h(
      "div",
      { role: "listitem" },
      h(
        "button",
        {
          class: `alert-row ${rule.state}${chosen ? " chosen" : ""}`,
          dataset: { alert: rule.name },
          "aria-current": chosen ? "true" : null,
          onclick: () => {
            state.set({ alert: rule.name }, { push: true });
            this.refresh();
            this.book.focus({ preventScroll: innerWidth > 900 });
          },
        },
        h(
          "span",
          { class: `badge ${isWatchdog(rule) ? "inactive" : rule.state}` },
          isWatchdog(rule) ? "Always on" : WORD[rule.state] || rule.state,
        ),
        h(
          "span",
          { class: "alert-name" },
          h("b", {}, rule.name),
          h("span", { class: "muted" }, ` ${rule.group} · ${rule.labels?.severity || ""}`),
          rule.alerts.length
            ? rule.alerts
                .slice(0, 4)
                .map((alert) =>
                  h(
                    "span",
                    { class: "alert-instance", title: `the expression gives ${short(Number(alert.value))}` },
                    alert.annotations?.summary || "",
                    alert.silenced_until ? h("span", { class: "muted" }, " · silent") : "",
                    keptSince(alert) ? h("span", { class: "kept" }, " · over, keeps firing") : "",
                  ),
                )
            : null,
          rule.lastError ? h("span", { class: "bad" }, rule.lastError) : null,
        ),
        h(
          "span",
          { class: "alert-since" },
          since
            ? [h("b", {}, ago(since)), h("span", { class: "muted" }, ` since ${moment(since)}`)]
            : h("span", { class: "muted" }, holds(rule)),
        ),
      ),
    );
  }

  async read(name) {
    const isNew = this.reading !== name;
    this.reading = name;
    let found;
    try {
      found = await console_(`incidents/${encodeURIComponent(name)}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      this.book.replaceChildren(h("h2", {}, name), h("p", {}, "No rule has this name here."));
      return;
    }
    if (
      this.reading !== name ||
      (!isNew && this.book.contains(document.activeElement) && document.activeElement !== this.book)
    )
      return;
    const firing = found.active.filter((alert) => alert.state === "firing");
    this.book.replaceChildren(
      h(
        "header",
        { class: "card-head" },
        icon("book"),
        h("h2", {}, name),
        h(
          "span",
          { class: `badge ${firing.length ? "firing" : found.active.length ? "pending" : "inactive"}` },
          WORD[firing.length ? "firing" : found.active.length ? "pending" : "inactive"],
        ),
        h("div", { class: "actions" }, this.actions(name, found)),
      ),
      found.active.length
        ? h(
            "p",
            {},
            found.active[0].annotations?.summary || "",
            h("span", { class: "muted" }, ` since ${moment(found.since)}, ${ago(found.since, found.now)}`),
          )
        : h("p", { class: "muted" }, "Its condition is not met now."),
      this.kept(found),
      silencesOf(found, (where) => this.note(name, { kind: "silence", minutes: 0, matchers: where })),
      this.evidence(found),
      this.hits(found),
      spentOn(found),
      this.timeline(found),
      found.groups.length
        ? h(
            "section",
            {},
            h("h3", {}, found.hits.shows === "failed" ? "Failing calls by error" : "These calls, by model and tool"),
            errorTable(found.groups.slice(0, 6)),
          )
        : "",
      found.queries.length
        ? h(
            "section",
            {},
            h("h3", {}, "Diagnosis, live"),
            found.queries.map((one) => liveQuery(one)),
          )
        : "",
      h(
        "details",
        { open: !found.active.length },
        h("summary", {}, "Runbook"),
        found.runbook
          ? markdown(found.runbook)
          : h("p", {}, "This rule has no runbook here: it is not one of Tachograph's."),
      ),
      found.history.length
        ? h(
            "section",
            {},
            h("h3", {}, "History"),
            h(
              "ul",
              { class: "plain" },
              found.history
                .slice(0, 12)
                .map((one) =>
                  h(
                    "li",
                    {},
                    `${moment(one.from)} – ${one.to ? moment(one.to) : "now"} `,
                    h(
                      "span",
                      { class: "muted" },
                      `(${duration((one.to || found.now) - one.from)}${one.exact ? "" : ", read from the metrics to 30 s"})`,
                    ),
                  ),
                ),
            ),
          )
        : "",
    );
  }

  /** Send what a person says about an alert, and read it again. */
  async note(name, body) {
    try {
      await console_(`alerts/${encodeURIComponent(name)}/notes`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "Content-Type": "application/json" },
      });
      const silence = body.minutes ? `Silenced for ${span(body.minutes * 60)}` : "Silence ended";
      toast(body.kind === "silence" ? silence : "Acknowledged");
      this.book.focus({ preventScroll: true });
      await this.context.refresh(); // the strip and the tab's title too
    } catch (error) {
      toast(`${error.message}. ${error.todo}`);
    }
  }

  actions(name, found) {
    const rule = found.rules[0];
    const minutes = h(
      "select",
      { "aria-label": "Silence for" },
      [
        [30, "30 min"],
        [120, "2 h"],
        [1440, "1 day"],
        [10080, "7 days"],
      ].map(([value, text]) => h("option", { value }, text)),
    );
    const where = h("input", {
      class: "silence-where",
      list: "silence-choices",
      placeholder: 'all of it, or provider=~"open.*"',
      "aria-label": "Silence only the alerts whose labels match",
    });
    const choices = found.active.slice(0, 50).map((alert) => h("option", { value: matchersOf(alert.labels, rule) }));
    return [
      found.active.length
        ? h(
            "button",
            {
              class: "button small",
              disabled: Boolean(rule.acknowledged),
              onclick: () => this.note(name, { kind: "acknowledge" }),
            },
            rule.acknowledged ? `Acknowledged ${clock(rule.acknowledged)}` : "Acknowledge",
          )
        : "",
      where,
      h("datalist", { id: "silence-choices" }, choices),
      minutes,
      h(
        "button",
        {
          class: "button small",
          onclick: () =>
            this.note(name, { kind: "silence", minutes: Number(minutes.value), matchers: where.value.trim() }),
        },
        "Silence",
      ),
    ];
  }

  /** An alert whose condition is over, and that keeps firing by `keep_firing_for`. */
  kept({ active, rules, now }) {
    const over = active.map((alert) => keptSince(alert)).filter(Boolean);
    if (!over.length || over.length < active.length) return "";
    const ends = Math.max(...over) + Math.max(...rules.map((rule) => rule.keepFiringFor || 0));
    const until = ends > now ? `it resolves at ${clock(ends)}, unless it is met again` : "it resolves now";
    return h("p", { class: "kept" }, `Its condition is over since ${clock(Math.max(...over))}: ${until}.`);
  }

  evidence({ fault }) {
    if (!fault) return "";
    return h(
      "section",
      { class: "fault" },
      h("h3", {}, "Whose fault"),
      h("p", {}, h("b", {}, fault.text)),
      h(
        "ul",
        {},
        fault.evidence.map((one) => h("li", {}, one)),
      ),
    );
  }

  hits({ hits }) {
    const named = {
      provider: "Providers",
      model: "Models",
      server_id: "Servers",
      tool_name: "Tools",
      service: "Services",
      agent: "Agents",
      app_version: "Versions",
    };
    const lists = Object.entries(named)
      .filter(([name]) => hits.by[name].length)
      .map(([name, title]) => listed(title, hits.by[name], (one) => `${one.value} (${count(one.calls)})`));
    const told = hits.hit ? `${count(hits.hit)} of ${count(hits.calls)} calls ${hits.verb}.` : hits.none;
    return h(
      "section",
      {},
      h("h3", {}, "What it hits"),
      h("p", {}, told),
      lists.length ? h("dl", { class: "hits" }, lists) : "",
    );
  }

  timeline({ timeline }) {
    if (!timeline.length) return "";
    return h(
      "section",
      {},
      h("h3", {}, "Timeline"),
      h(
        "ol",
        { class: "timeline" },
        timeline.map((event) =>
          h("li", { class: event.kind }, h("time", {}, moment(event.at)), h("span", {}, happened(event))),
        ),
      ),
    );
  }

  close() {}
}

/** An event of the timeline in words; its time is written by the page's clock. */
const happened = ({ text, until }) => (until ? text.replace("{until}", () => moment(until)) : text);

/** Since when an alert's condition is over though it fires; Prometheus's API names it so. */
const keptSince = (alert) => (alert.keepFiringSince ? Date.parse(alert.keepFiringSince) / 1000 : 0);

/** The first few of what an alert is about, under their title. */
function listed(title, found, word) {
  return h("div", {}, h("dt", {}, title), h("dd", {}, few(found.map(word), 5)));
}

/** How long a rule waits before it fires, and how long it goes on after its condition. */
function holds(rule) {
  const waits = rule.duration ? `fires after ${span(rule.duration)}` : "fires at once";
  return rule.keepFiringFor ? `${waits}, keeps firing ${span(rule.keepFiringFor)}` : waits;
}

/** What calls cost while an alert about money stands: how much, whose, and why it changed. */
function spentOn({ spent }) {
  if (!spent) return "";
  const named = { provider: "Providers", model: "Models", service: "Services", agent: "Agents", user_id: "Users" };
  const lists = Object.entries(named)
    .map(([name, title]) => [title, spent.by[name].filter((one) => one.key && one.usd)])
    .filter(([, found]) => found.length)
    .map(([title, found]) => listed(title, found, (one) => `${shorten(one.key)} (${usd(one.usd)})`));
  const changed = spent.why.map((part) =>
    toned([part.part, `${part.usd >= 0 ? "+" : ""}${usd(part.usd)}`, part.note], part.part === "Change" ? "sum" : ""),
  );
  return h(
    "section",
    {},
    h("h3", {}, "What is spent"),
    h(
      "p",
      {},
      `${spent.usd === null ? "Without a price" : usd(spent.usd)}, ${short(spent.tokens[0])} tokens in the last ${duration(spent.seconds)}; ${short(spent.tokens[1])} tokens in as long before.`,
    ),
    h("dl", { class: "hits" }, lists),
    spent.budgets.map((one) =>
      h(
        "p",
        {},
        `Budget ${one.name}: ${usd(one.spent_usd)} of ${usd(one.limit_usd)} is spent, ${usd(one.left_usd)} is left.`,
      ),
    ),
    spent.waste.length
      ? h(
          "p",
          {},
          `Of it bought nothing: ${few(
            spent.waste.map((one) => `${usd(one.usd)} ${one.cause}`),
            4,
          )}.`,
        )
      : "",
    changed.length
      ? [
          h("h3", {}, "Why it changed against the time before"),
          table([["", ""], ["", "number"], ["", "note"]], changed), // prettier-ignore
        ]
      : "",
  );
}

/** What distinguishes one alert of a rule from the others, as matchers. */
const matchersOf = (labels, rule) =>
  Object.entries(labels)
    .filter(([name, value]) => name !== "alertname" && rule.labels[name] !== value)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(",");

/** The silences that hold: of all of it or of some, made here or in an Alertmanager. */
function silencesOf({ rules }, end) {
  const { silences } = rules[0];
  if (!silences.length) return "";
  const line = (one) =>
    h(
      "li",
      {},
      `Silent until ${moment(one.until)} `,
      one.where ? [" where ", h("code", {}, one.where)] : "",
      h("span", { class: "muted" }, [
        one.here ? "" : ` in the Alertmanager, by ${one.by}`,
        one.text && `: ${one.text}`,
      ]),
      one.here ? h("button", { class: "button small", onclick: () => end(one.where) }, "End it") : "",
    );
  return h("ul", { class: "plain silences" }, silences.map(line));
}

function liveQuery(one) {
  const name = (labels) => Object.entries(labels).map(([label, text]) => `${label}=${text}`).join(" ") || "value"; // prettier-ignore
  const rows = one.rows.map((row) => [name(row.labels), row.value === null ? "–" : short(row.value)]);
  const text = one.query.replace(/\s+/g, " ");
  const more = one.more ? h("p", { class: "muted" }, `and ${one.more} more`) : "";
  const found = rows.length
    ? [table([["", "wrap"], ["", "number"]], rows), more] // prettier-ignore
    : h("p", { class: "muted" }, "gives nothing now");
  return h(
    "div",
    { class: "live-query" },
    h(
      "details",
      {},
      h("summary", { class: "mono" }, text.length > 160 ? `${text.slice(0, 159)}…` : text),
      h("pre", { class: "query", tabindex: "0" }, one.query),
    ),
    one.error ? h("p", { class: "bad" }, one.error) : found,
  );
}

/** The little markdown that runbooks use, as elements: headings, lists, tables, code, emphasis, links within the page. */
export function markdown(text) {
  const root = h("div", { class: "markdown" });
  const lines = text.replace(/\r/g, "").split("\n");
  let index = 0;
  const inline = (source) => {
    const parts = [];
    let rest = source;
    while (rest) {
      const found = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/.exec(rest);
      if (!found) {
        parts.push(rest);
        break;
      }
      parts.push(rest.slice(0, found.index));
      if (found[1] !== undefined) parts.push(h("code", {}, found[1]));
      else if (found[2] !== undefined) parts.push(h("b", {}, found[2]));
      else if (/^(https?:\/\/|#)/.test(found[4]))
        parts.push(
          h(
            "a",
            { href: found[4], rel: "noreferrer noopener", target: found[4].startsWith("#") ? null : "_blank" },
            found[3],
          ),
        );
      else if (/^[A-Za-z]+\.md$/.test(found[4]))
        parts.push(h("a", { href: state.hrefOf("alerts", { alert: found[4].slice(0, -3) }) }, found[3]));
      else parts.push(found[3]);
      rest = rest.slice(found.index + found[0].length);
    }
    return parts;
  };
  while (index < lines.length) {
    const line = lines[index];
    if (/^```/.test(line)) {
      const code = [];
      for (index += 1; index < lines.length && !/^```/.test(lines[index]); index += 1) code.push(lines[index]);
      index += 1;
      root.append(h("pre", { tabindex: "0" }, h("code", {}, code.join("\n"))));
    } else if (/^#{1,4} /.test(line)) {
      const level = line.indexOf(" ");
      if (level > 1) root.append(h(level === 2 ? "h3" : "h4", {}, inline(line.slice(level + 1))));
      index += 1;
    } else if (/^\s*([-*]|\d+\.) /.test(line)) {
      const list = h(/^\s*\d/.test(line) ? "ol" : "ul", {});
      while (index < lines.length && (/^\s*([-*]|\d+\.) /.test(lines[index]) || /^\s{2,}\S/.test(lines[index]))) {
        if (/^\s*([-*]|\d+\.) /.test(lines[index]))
          list.append(h("li", {}, inline(lines[index].replace(/^\s*([-*]|\d+\.) /, ""))));
        else list.lastElementChild.append(" ", ...inline(lines[index].trim()));
        index += 1;
      }
      root.append(list);
    } else if (/^\|/.test(line)) {
      const rows = [];
      for (; index < lines.length && /^\|/.test(lines[index]); index += 1)
        if (!/^\|[\s:|-]+\|$/.test(lines[index]))
          rows.push(
            lines[index]
              .replace(/^\||\|$/g, "")
              .split("|")
              .map((cell) => cell.trim()),
          );
      const [heads, ...cells] = rows.map((row) => row.map(inline));
      root.append(
        h(
          "div",
          { class: "table-scroll", tabindex: "0" },
          table(
            heads.map((cell) => [cell, ""]),
            cells,
          ),
        ),
      );
    } else if (line.trim() === "" || /^<!--/.test(line)) {
      index += 1;
    } else {
      const words = [];
      for (
        ;
        index < lines.length && lines[index].trim() && !/^(```|#|\||\s*([-*]|\d+\.) )/.test(lines[index]);
        index += 1
      )
        words.push(lines[index]);
      root.append(h("p", {}, inline(words.join(" "))));
    }
  }
  return root;
}
