// The time range: its name, its dialog, and the steps that move it.

import { now } from "./clock.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { duration, fromInput, moment, toInput, zoneName } from "./format.js";
import * as state from "./state.js";

const RANGE_WORD = {
  "5m": "Last 5 min",
  "15m": "Last 15 min",
  "1h": "Last 1 h",
  "3h": "Last 3 h",
  "6h": "Last 6 h",
  "1d": "Last day",
  "7d": "Last 7 days",
};

/** The range in words. */
export function rangeText() {
  const { from, to, live } = state.range();
  return live ? RANGE_WORD[state.rangeName()] || `Last ${duration(to - from)}` : `${moment(from)} – ${moment(to)}`;
}

export function shift(share) {
  const { from, to } = state.range();
  const by = (to - from) * share;
  const end = Math.min(now(), to + by);
  state.set({ from: Math.round(end - (to - from)), to: Math.round(end), range: null });
}

export function zoomOut() {
  const { from, to, live } = state.range();
  const length = Math.min(7 * 86400, (to - from) * 2);
  if (live) {
    const next = state.RANGES.find((text) => state.seconds(text) >= length * 0.99) || "7d";
    state.set({ range: next });
  } else {
    const middle = (from + to) / 2;
    const end = Math.min(now(), middle + length / 2);
    state.set({ from: Math.round(end - length), to: Math.round(end) });
  }
}

export function zoomIn() {
  const { from, to, live } = state.range();
  if (live) {
    const next = state.RANGES.findLast((text) => state.seconds(text) <= (to - from) / 2 + 1) || "5m";
    state.set({ range: next });
  } else {
    state.set({ from: Math.round(from + (to - from) / 4), to: Math.round(to - (to - from) / 4) });
  }
}

/** Choose a range, live or between two times, and how often it is read again. */
export function openRange(status) {
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
      `Kept here: metrics of the last ${duration(status.retention_seconds || 21600)}, calls ${status.calls_since ? `since ${moment(status.calls_since)}` : "none yet"}${status.ledger ? ", and before that the ledger's hours" : ""}. Refresh every `,
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
