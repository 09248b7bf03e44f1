// A run (or a trace, or a session): the tree with its waterfall on the left, the chosen span on the right, totals above.

import { console_ } from "../api.js";
import { theme } from "../colours.js";
import { h, s } from "../dom.js";
import { duration, moment, short, usd } from "../format.js";
import * as state from "../state.js";
import { callFacts } from "./call.js";

export class RunView {
  constructor(context) {
    this.context = context;
    this.totals = h("div", { class: "run-totals" });
    this.tree = h("div", { class: "run-tree", role: "tree", "aria-label": "Spans" });
    this.side = h("section", { class: "card run-side", tabindex: "0", "aria-label": "The chosen span" });
    this.element = h(
      "div",
      { class: "run-view" },
      h("h1", { class: "sr-only" }, "Run"),
      this.totals,
      h("div", { class: "run-split" }, h("section", { class: "card" }, this.tree), this.side),
    );
  }

  async refresh() {
    const [id, session] = [state.get("id"), state.get("session")];
    const key = `${id} ${session}`;
    if (this.key === key && !state.range().live) return;
    const answer = await console_(
      session ? `sessions/${encodeURIComponent(session)}` : `runs/${encodeURIComponent(id || "none")}`,
    );
    if (this.key === key && JSON.stringify(answer) === this.seen) return;
    this.key = key;
    this.seen = JSON.stringify(answer);
    this.drawTotals(answer, session ? "Session" : answer.calls.some((call) => call.run_id === id) ? "Run" : "Trace");
    if (session) this.drawRuns(answer.runs);
    else await this.drawTree(answer.tree);
  }

  drawTotals(answer, word) {
    const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    this.totals.replaceChildren(
      h("h2", {}, `${word} `, h("span", { class: "mono" }, answer.id)),
      h(
        "dl",
        { class: "totals" },
        answer.agent ? fact("Agent", answer.agent) : "",
        fact("Began", answer.first ? moment(answer.first) : "–"),
        fact("Took", duration(answer.seconds)),
        fact("LLM calls", answer.llm_calls),
        fact("Tool calls", answer.tool_calls),
        fact("Failed", h("span", { class: answer.failed ? "bad" : "" }, answer.failed)),
        fact("Tokens", short(answer.tokens)),
        fact("Cost", usd(answer.cost)),
        answer.session_id && word !== "Session"
          ? fact("Session", h("a", { href: state.hrefOf("run", { session: answer.session_id }) }, answer.session_id))
          : "",
        answer.user_id ? fact("User", answer.user_id) : "",
      ),
    );
  }

  drawRuns(runs) {
    this.side.hidden = true;
    this.tree.setAttribute("role", "list");
    this.tree.replaceChildren(
      h(
        "table",
        { class: "grid" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Run", "Agent", "Began", "Took", "Calls", "Tools", "Failed", "Cost"].map((name) =>
              h("th", { scope: "col" }, name),
            ),
          ),
        ),
        h(
          "tbody",
          {},
          runs.map((run) =>
            h(
              "tr",
              {},
              h(
                "th",
                { scope: "row" },
                h("a", { class: "mono", href: state.hrefOf("run", { id: run.id }) }, run.id.slice(0, 16)),
              ),
              [
                run.agent,
                moment(run.first),
                duration(run.seconds),
                run.llm_calls,
                run.tool_calls,
                run.failed,
                usd(run.cost),
              ].map((cell) => h("td", {}, String(cell))),
            ),
          ),
        ),
      ),
    );
  }

  async drawTree(rows) {
    this.side.hidden = false;
    const began = Math.min(...rows.map((row) => row.start));
    const length = Math.max(1e-6, ...rows.map((row) => row.start - began + row.seconds));
    const chosen = state.get("span") || rows.find((row) => row.failed)?.id || rows[0]?.id;
    this.tree.replaceChildren(...rows.map((row) => this.row(row, began, length, row.id === chosen, rows)));
    const row = rows.find((one) => one.id === chosen);
    if (row) await this.drawSide(row);
  }

  row(row, began, length, chosen, rows) {
    const colours = theme();
    const tone = row.failed
      ? colours.bad
      : {
          llm: (colours.families[row.provider] || [colours.wheel[1]])[0],
          tool: colours.wheel[5],
          agent: colours.wheel[3],
        }[row.kind] || colours.wait;
    const x = ((row.start - began) / length) * 300;
    return h(
      "button",
      {
        class: `run-row${chosen ? " own" : ""}`,
        role: "treeitem",
        "aria-level": String(row.depth + 1),
        "aria-selected": String(chosen),
        dataset: { depth: String(Math.min(8, row.depth)) },
        onclick: () => {
          state.set({ span: row.id });
          this.drawTree(rows);
        },
      },
      h(
        "span",
        { class: "wf-name", dataset: { depth: String(Math.min(8, row.depth)) } },
        h("span", { class: `tag ${row.kind}` }, row.kind),
        h("span", { class: `wf-title${row.missing ? " muted" : ""}` }, row.name),
        row.error ? h("span", { class: "pill bad" }, row.error) : "",
      ),
      s(
        "svg",
        { viewBox: "0 0 300 16", preserveAspectRatio: "none", class: "run-bar", "aria-hidden": "true" },
        s("rect", { x, y: 3, width: Math.max(1.5, (row.seconds / length) * 300), height: 10, rx: 2, fill: tone }),
      ),
      h("span", { class: "muted number" }, duration(row.seconds)),
    );
  }

  async drawSide(row) {
    const call = row.call ? await console_(`calls/${row.call}`).catch(() => null) : null; // its row in the tree stands without
    const attributes = Object.entries(row.attributes).filter(([name]) => !/messages$|arguments$|result$/.test(name));
    this.side.replaceChildren(
      h("h2", {}, row.name),
      ...(call
        ? callFacts(call)
        : [
            h(
              "p",
              { class: "muted" },
              row.missing
                ? "Its spans name this parent; nobody sent it here."
                : `A span that is no call, ${duration(row.seconds)}.`,
            ),
          ]),
      attributes.length
        ? h(
            "details",
            { open: !call },
            h("summary", {}, `${attributes.length} attributes of the span`),
            h(
              "dl",
              { class: "facts mono" },
              attributes.map(([name, value]) => [
                h("dt", {}, name),
                h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value)),
              ]),
            ),
          )
        : "",
    );
  }

  close() {
    this.element.remove();
  }
}
