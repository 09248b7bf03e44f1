// A run (or a trace, or a session): the tree with its waterfall on the left, the chosen span on the right, totals above.

import { console_ } from "../api.js";
import { h, refill } from "../dom.js";
import { duration, moment, short } from "../format.js";
import * as state from "../state.js";
import { waterfall } from "../waterfall.js";
import { attributesOf, callFacts } from "./call.js";
import { costOf, groupTable } from "./grouped.js";

export class RunView {
  constructor(context) {
    this.context = context;
    this.totals = h("div", { class: "run-totals" });
    this.runs = h("section", { class: "card session-runs", "aria-label": "The runs of this session" });
    this.tree = h("div", { class: "run-tree" });
    this.side = h("section", { class: "card run-side", tabindex: "0", "aria-label": "The chosen span" });
    this.element = h(
      "div",
      { class: "run-view" },
      h("h1", { class: "sr-only" }, "Run"),
      this.totals,
      this.runs,
      h("div", { class: "run-split" }, h("section", { class: "card" }, this.tree), this.side),
    );
  }

  async refresh() {
    const [id, session] = [state.get("id"), state.get("session")];
    const key = `${id} ${session} ${state.get("run")}`;
    if (this.key === key && !state.range().live) return;
    let answer, chosen;
    try {
      const path = session ? `sessions/${encodeURIComponent(session)}` : `runs/${encodeURIComponent(id || "none")}`;
      answer = await console_(path);
      chosen = session ? await this.runOf(answer.runs) : answer;
    } catch (error) {
      if (error.status !== 404) throw error;
      this.drawGone(session ? "session" : "run", session || id, error.todo);
      return;
    }
    this.element.classList.remove("gone");
    const seen = JSON.stringify([answer, chosen]);
    if (this.key === key && seen === this.seen) return;
    this.key = key;
    this.seen = seen;
    this.drawTotals(answer, session ? "Session" : answer.calls.some((call) => call.run_id === id) ? "Run" : "Trace");
    this.runs.hidden = !session;
    if (session) this.drawRuns(answer.runs, chosen.id);
    await this.drawTree(chosen.tree);
  }

  /** The run of a session whose tree is shown: the chosen one, else the newest. */
  async runOf(runs) {
    const wanted = runs.find((run) => run.id === state.get("run")) || runs.at(-1);
    return wanted.id ? console_(`runs/${encodeURIComponent(wanted.id)}`) : { id: "", tree: [] };
  }

  /** A link to what is not kept here. */
  drawGone(word, id, todo) {
    this.key = undefined;
    this.element.classList.add("gone");
    this.runs.hidden = true;
    const what = id ? `This console keeps no ${word} called "${id.slice(0, 60)}".` : `The address names no ${word}.`;
    refill(
      this.totals,
      h("div", { class: "fatal" }, h("h2", {}, `No such ${word}`), h("p", {}, what), h("p", { class: "muted" }, todo)),
    );
  }

  drawTotals(answer, word) {
    const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    refill(
      this.totals,
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
        fact("Cost", costOf(answer)),
        answer.session_id && word !== "Session"
          ? fact("Session", h("a", { href: state.hrefOf("run", { session: answer.session_id }) }, answer.session_id))
          : "",
        answer.user_id ? fact("User", answer.user_id) : "",
      ),
      answer.late
        ? h(
            "p",
            { class: "muted" },
            `${answer.late} ${answer.late === 1 ? "call" : "calls"} ended after the run itself: counted here, but not in the run's own span and metrics.`,
          )
        : "",
    );
  }

  drawRuns(runs, chosen) {
    const address = (run) => state.hrefOf("run", { session: state.get("session"), run: run.id });
    refill(this.runs, groupTable("runs", runs, { chosen, address }));
    if (this.chosen === chosen) return;
    this.chosen = chosen;
    this.runs.querySelector("tr.chosen")?.scrollIntoView({ block: "nearest" });
  }

  async drawTree(rows) {
    this.side.hidden = !rows.length;
    if (!rows.length) {
      const why = "These calls name neither a run nor a trace: Explore lists them one by one.";
      this.tree.replaceChildren(h("p", { class: "empty muted" }, why));
      return;
    }
    const known = rows.filter((row) => !row.missing);
    const chosen =
      state.get("span") ||
      (known.find((row) => row.failed && row.call) || known.find((row) => row.failed))?.id ||
      (known[0] || rows[0])?.id;
    const onpick = (row) => {
      state.set({ span: row.id });
      this.drawTree(rows);
    };
    const focused = document.activeElement?.closest?.(".wf-row") ? chosen : null;
    this.tree.replaceChildren(waterfall(rows, { chosen, onpick }));
    if (focused) this.tree.querySelector(".wf-row.own button")?.focus();
    const row = rows.find((one) => one.id === chosen);
    if (row) await this.drawSide(row);
  }

  async drawSide(row) {
    const call = row.call ? await console_(`calls/${row.call}`).catch(() => null) : null; // its row in the tree stands without
    const about = row.missing
      ? "The calls name this span as their parent. It was not sent here: the application's own spans go elsewhere."
      : `A span that is not a call, ${duration(row.seconds)}.`;
    this.side.replaceChildren(
      h("h2", {}, row.name),
      ...(call ? callFacts(call, true) : [h("p", { class: "muted" }, about)]),
      attributesOf(row),
    );
  }

  close() {
    this.element.remove();
  }
}
