// Every alert with its state, since when, its value, and its runbook beside it.

import { console_, rules } from "../api.js";
import { $, h, icon } from "../dom.js";
import { ago, duration, moment, short } from "../format.js";
import * as state from "../state.js";

const ORDER = { firing: 0, pending: 1, inactive: 2 };
const WORD = { firing: "Firing", pending: "Pending", inactive: "Quiet" };

/** Alert rules of all groups, the loudest first. */
export async function readAlerts() {
  const groups = await rules();
  const found = groups.flatMap((group) => group.rules.filter((rule) => rule.type === "alerting").map((rule) => ({ ...rule, group: group.name })));
  const weight = (rule) => (rule.name.includes("Watchdog") ? 5 : ORDER[rule.state] ?? 3);
  return found.sort((a, b) => weight(a) - weight(b) || (a.name < b.name ? -1 : 1));
}

const isWatchdog = (rule) => rule.labels?.severity === "none";

/** The strip under the bar: what fires, what is about to, and how many are quiet. */
export function strip(alerts) {
  const loud = alerts.filter((rule) => rule.state !== "inactive" && !isWatchdog(rule));
  const quiet = alerts.filter((rule) => rule.state === "inactive").length;
  const chips = loud.slice(0, 6).map((rule) => {
    const first = rule.alerts[0];
    return h("a", { class: `chip ${rule.state} severity-${rule.labels?.severity || "none"}`, href: state.hrefOf("alerts", { alert: rule.name }) },
      h("span", { class: "dot", "aria-hidden": "true" }), h("b", {}, rule.name),
      h("span", { class: "chip-text" }, `${rule.state === "pending" ? "pending · " : ""}${first?.annotations?.summary || ""}${first?.activeAt ? ` for ${ago(Date.parse(first.activeAt) / 1000)}` : ""}`));
  });
  if (loud.length > 6) chips.push(h("a", { class: "chip", href: state.hrefOf("alerts") }, `and ${loud.length - 6} more`));
  chips.push(h("a", { class: "chip ok", href: state.hrefOf("alerts") }, h("span", { class: "dot", "aria-hidden": "true" }), `${quiet} ${quiet === 1 ? "rule" : "rules"} quiet`));
  return chips;
}

export class AlertsView {
  constructor() {
    this.list = h("div", { class: "alert-list", role: "list", "aria-label": "Alert rules" });
    this.book = h("article", { class: "card runbook", "aria-live": "polite", tabindex: "0" }, h("p", { class: "muted" }, "Choose an alert to read its runbook."));
    this.element = h("div", { class: "alerts-view" }, h("h1", { class: "sr-only" }, "Alerts"), h("section", { class: "card", "aria-label": "Rules" }, this.list), this.book);
  }

  async refresh() {
    const alerts = await readAlerts();
    if (!alerts.length) {
      this.list.replaceChildren(h("p", { class: "empty" }, "No alert rules are loaded. ", h("span", { class: "muted" }, "The console evaluates the rules that `tachograph export` writes; with --prometheus it shows the ones Prometheus has loaded.")));
      return;
    }
    const chosen = state.get("alert") || alerts[0].name;
    const seen = new Set();
    const kept = document.activeElement?.dataset?.alert;
    this.list.replaceChildren(...alerts.map((rule) => this.row(rule, rule.name === chosen && !seen.has(rule.name) && seen.add(rule.name))));
    if (kept) this.list.querySelector(`[data-alert="${CSS.escape(kept)}"]`)?.focus();
    this.alerts = alerts;
    if (chosen !== this.reading) await this.read(chosen);
  }

  row(rule, chosen) {
    const worst = rule.alerts[0];
    const since = worst?.activeAt ? Date.parse(worst.activeAt) / 1000 : null;
    return h("div", { role: "listitem" }, h("button", { class: `alert-row ${rule.state}${chosen ? " chosen" : ""}`, dataset: { alert: rule.name }, "aria-current": chosen ? "true" : null, onclick: () => { state.set({ alert: rule.name }); this.refresh(); this.book.focus({ preventScroll: innerWidth > 900 }); } },
      h("span", { class: `badge ${isWatchdog(rule) ? "inactive" : rule.state}` }, isWatchdog(rule) ? "Always on" : WORD[rule.state] || rule.state),
      h("span", { class: "alert-name" }, h("b", {}, rule.name), h("span", { class: "muted" }, ` ${rule.group} · ${rule.labels?.severity || ""}`),
        rule.alerts.length ? rule.alerts.slice(0, 4).map((alert) => h("span", { class: "alert-instance" }, alert.annotations?.summary || "", h("span", { class: "muted" }, ` · ${short(Number(alert.value))}`))) : null,
        rule.lastError ? h("span", { class: "bad" }, rule.lastError) : null),
      h("span", { class: "alert-since" }, since ? [h("b", {}, ago(since)), h("span", { class: "muted" }, ` since ${moment(since)}`)] : h("span", { class: "muted" }, rule.duration ? `for ${duration(rule.duration)}` : ""))));
  }

  async read(name) {
    this.reading = name;
    try {
      const book = await console_(`runbooks/${encodeURIComponent(name)}`);
      if (this.reading !== name) return;
      const rule = this.alerts?.find((one) => one.name === name);
      this.book.replaceChildren(h("header", { class: "card-head" }, icon("book"), h("h2", {}, name)),
        markdown(book.markdown || ""));
    } catch (error) {
      this.book.replaceChildren(h("h2", {}, name), h("p", {}, error.status === 404 ? "This rule has no runbook here: it is not one of Tachograph's." : error.message));
    }
  }

  close() {}
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
      if (!found) { parts.push(rest); break; }
      parts.push(rest.slice(0, found.index));
      if (found[1] !== undefined) parts.push(h("code", {}, found[1]));
      else if (found[2] !== undefined) parts.push(h("b", {}, found[2]));
      else if (/^(https?:\/\/|#)/.test(found[4])) parts.push(h("a", { href: found[4], rel: "noreferrer noopener", target: found[4].startsWith("#") ? null : "_blank" }, found[3]));
      else if (/^[A-Za-z]+\.md$/.test(found[4])) parts.push(h("a", { href: state.hrefOf("alerts", { alert: found[4].slice(0, -3) }) }, found[3]));
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
        if (/^\s*([-*]|\d+\.) /.test(lines[index])) list.append(h("li", {}, inline(lines[index].replace(/^\s*([-*]|\d+\.) /, ""))));
        else list.lastElementChild.append(" ", ...inline(lines[index].trim()));
        index += 1;
      }
      root.append(list);
    } else if (/^\|/.test(line)) {
      const rows = [];
      for (; index < lines.length && /^\|/.test(lines[index]); index += 1) if (!/^\|[\s:|-]+\|$/.test(lines[index])) rows.push(lines[index].replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim()));
      root.append(h("div", { class: "table-scroll", tabindex: "0" }, h("table", { class: "grid" }, h("thead", {}, h("tr", {}, rows[0].map((cell) => h("th", { scope: "col" }, inline(cell))))), h("tbody", {}, rows.slice(1).map((row) => h("tr", {}, row.map((cell) => h("td", {}, inline(cell)))))))));
    } else if (line.trim() === "" || /^<!--/.test(line)) {
      index += 1;
    } else {
      const words = [];
      for (; index < lines.length && lines[index].trim() && !/^(```|#|\||\s*([-*]|\d+\.) )/.test(lines[index]); index += 1) words.push(lines[index]);
      root.append(h("p", {}, inline(words.join(" "))));
    }
  }
  return root;
}
