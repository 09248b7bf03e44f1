// The chosen call beside the list: the waterfall of its trace, and everything that is known of it.

import { console_ } from "../api.js";
import { copy, h, icon } from "../dom.js";
import { waterfall } from "../waterfall.js";
import { attributesOf, callFacts } from "./call.js";

/** Ask for a call and draw it. `onclose` is asked for when the reader closes it. */
export async function drawerFor(id, onclose) {
  const call = await console_(`calls/${encodeURIComponent(id)}`);
  const trace = call.trace_id ? await console_(`runs/${encodeURIComponent(call.trace_id)}`).catch(() => null) : null;
  const rows = trace?.tree || []; // a trace that is gone leaves the call's own facts
  const title = call.kind === "tool" ? `${call.server_id} / ${call.tool_name}` : `${call.provider} / ${call.model}`;
  const spans = rows.filter((row) => row.kind !== "attempt" && row.kind !== "wait").length;
  const id_ = h(
    "button",
    { class: "linkish mono", title: "Copy the trace id", onclick: () => copy(call.trace_id, "Trace id") },
    call.trace_id,
  );
  const span = rows.find((row) => row.call === call.id && row.kind !== "attempt" && row.kind !== "wait");
  return h(
    "div",
    {
      class: "drawer",
      role: "dialog",
      "aria-label": `Call of ${title}`,
      onkeydown: (event) => {
        if (event.key !== "Escape") return;
        onclose();
        event.stopPropagation();
      },
    },
    h(
      "div",
      { class: "drawer-head" },
      h(
        "div",
        {},
        h("h2", { tabindex: "-1" }, title),
        h("p", { class: "mono muted" }, "trace ", id_, ` · ${spans} ${spans === 1 ? "span" : "spans"}`),
      ),
      h("button", { class: "icon-button", "aria-label": "Close the call", onclick: onclose }, icon("close")),
    ),
    rows.length ? waterfall(rows, { own: call.id }) : "",
    callFacts(call),
    span ? attributesOf(span) : "",
  );
}
