// What is known of one call: facts, error, what was said, the arithmetic of its cost, and the raw record.

import { copy, h, icon } from "../dom.js";
import { duration, moment, short, usd, zoneName } from "../format.js";
import * as state from "../state.js";

/** A call's details as elements, for the drawer and for the run. */
export function callFacts(call) {
  return [errorOf(call), actions(call), factList(call), arithmetic(call), content(call), raw(call)].filter(Boolean);
}

function errorOf(call) {
  if (!call.error) return null;
  return h(
    "section",
    { class: "call-error" },
    h("h3", {}, call.error_type || call.error_kind || "Error"),
    h("pre", { tabindex: "0" }, call.error),
  );
}

function actions(call) {
  const address = `${location.origin}${location.pathname}${state.hrefOf("calls", { call: call.id })}`;
  const curl = `curl -H "Authorization: Bearer $TACHOGRAPH_CONSOLE_TOKEN" ${location.origin}/api/console/calls/${call.id}`;
  const button = (name, text) =>
    h("button", { class: "button small", onclick: () => copy(text, name) }, icon("copy"), name);
  return h(
    "p",
    { class: "call-actions" },
    button("Link", address),
    button("curl", curl),
    button("Call id", call.id),
    call.request_id ? button("Request id", call.request_id) : "",
    call.trace_id
      ? h(
          "a",
          { class: "button small", href: state.hrefOf("run", { id: call.run_id || call.trace_id }) },
          "Open the run",
        )
      : "",
  );
}

function factList(call) {
  const facts = [];
  const add = (name, value) => {
    if (value !== null && value !== undefined && value !== "" && value !== 0) facts.push([name, value]);
  };
  add("Outcome", call.outcome);
  add("Began", `${moment(call.time)} (${zoneName()})`);
  add("Duration", duration(call.duration_seconds || 0));
  add("First token", call.first_token_seconds ? duration(call.first_token_seconds) : "");
  add("Waited on rate limits", call.wait_seconds ? duration(call.wait_seconds) : "");
  add("Operation", [call.operation, call.api].filter(Boolean).join(", "));
  add("Answered by", call.response_model);
  add("Finish reason", call.finish_reason);
  if (call.kind !== "tool") {
    add(
      "Tokens in",
      call.input_tokens === null
        ? "not reported"
        : `${call.input_tokens}${call.cached_tokens ? `, of them ${call.cached_tokens} cached` : ""}`,
    );
    add(
      "Tokens out",
      call.output_tokens === null
        ? "not reported"
        : `${call.output_tokens}${call.reasoning_tokens ? `, of them ${call.reasoning_tokens} reasoning` : ""}`,
    );
    add(
      "Cost",
      call.cost_usd === null
        ? "unpriced"
        : `$${call.cost_usd}${call.cost_quality && call.cost_quality !== "priced" ? ` (${call.cost_quality})` : ""}`,
    );
    add("Streamed", call.stream ? "yes" : "no");
    add("Service tier", call.service_tier);
  }
  add("Service", call.service);
  add("Version", call.app_version);
  add("Agent", call.agent);
  add(
    "Session",
    call.session_id ? h("a", { href: state.hrefOf("run", { session: call.session_id }) }, call.session_id) : "",
  );
  add("User", call.user_id);
  for (const [name, value] of Object.entries(call.labels || {})) add(`Label ${name}`, value);
  for (const [name, value] of [
    ["Call id", call.id],
    ["Request id", call.request_id],
    ["Response id", call.response_id],
    ["Run id", call.run_id],
  ])
    add(name, value ? h("span", { class: "mono" }, value) : "");
  return h(
    "dl",
    { class: "facts" },
    facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

function arithmetic(call) {
  if (!call.arithmetic?.length) return null;
  return h(
    "details",
    { class: "arithmetic" },
    h("summary", {}, `How ${usd(Number(call.cost_usd))} comes about`),
    h(
      "table",
      { class: "grid" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["", "Tokens", "$ per million", "$"].map((name, i) =>
            h("th", { scope: "col", class: i ? "number" : "" }, name),
          ),
        ),
      ),
      h(
        "tbody",
        {},
        call.arithmetic.map((line) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, line.kind),
            h("td", { class: "number" }, line.tokens === null ? "" : short(line.tokens)),
            h("td", { class: "number" }, line.per_million_usd === null ? "" : usd(line.per_million_usd)),
            h("td", { class: "number" }, usd(line.usd)),
          ),
        ),
      ),
    ),
    call.price_source ? h("p", { class: "muted small" }, `Prices: ${call.price_source}`) : "",
  );
}

/** Messages as a chat where they can be read as such, else as they are. */
function content(call) {
  const names = Object.keys(call.content || {});
  if (!names.length) return null;
  return h(
    "section",
    { class: "said" },
    h("h3", {}, "What was said"),
    names.map((name) => {
      const messages = messagesOf(call.content[name]);
      return messages
        ? messages.map((one) => h("div", { class: `bubble ${one.role}` }, h("b", {}, one.role), h("p", {}, one.text)))
        : h("div", { class: "bubble" }, h("b", {}, name), h("pre", { tabindex: "0" }, call.content[name]));
    }),
  );
}

function messagesOf(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return null;
  } // not JSON: shown as it is
  const list = Array.isArray(found) ? found : found?.messages;
  if (!Array.isArray(list) || !list.every((one) => one && typeof one === "object")) return null;
  return list.map((one) => ({ role: String(one.role || "message"), text: plain(one.parts ?? one.content ?? one) }));
}

function plain(value) {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(plain).join("\n");
  if (value && typeof value === "object") return plain(value.text ?? value.content ?? JSON.stringify(value));
  return String(value);
}

function raw(call) {
  const { arithmetic: ignored, attempts_list: also, ...record } = call;
  return h("details", {}, h("summary", {}, "Raw JSON"), h("pre", { tabindex: "0" }, JSON.stringify(record, null, 2)));
}
