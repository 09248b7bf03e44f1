// What is known of one call: facts, error, what was said, the arithmetic of its cost, and the raw record.

import { copy, h, icon, table, toned } from "../dom.js";
import { duration, moment, short, usd, zoneName } from "../format.js";
import * as state from "../state.js";
import { messagesOf, readable } from "./chat.js";

/** A call's details as elements, for the drawer and for the run. */
export function callFacts(call, inRun = false) {
  return [errorOf(call), actions(call, inRun), factList(call), arithmetic(call), content(call), raw(call)].filter(
    Boolean,
  );
}

function errorOf(call) {
  const isCancelled = call.outcome === "cancelled";
  if (!call.error && !isCancelled) return null;
  const came = call.first_token_seconds ? "while its answer came" : "before anything came"; // prettier-ignore
  const about = isCancelled
    ? `The application cancelled this ${call.kind === "tool" ? "tool call" : "call"} after ${duration(call.duration_seconds || 0)}${call.kind === "tool" ? "" : `, ${came}`}.`
    : "";
  return h(
    "section",
    { class: "call-error" },
    h("h3", {}, isCancelled ? "Cancelled" : call.error_type || call.error_kind || "Error"),
    about ? h("p", {}, about) : "",
    call.error ? h("pre", { tabindex: "0" }, call.error) : "",
  );
}

function actions(call, inRun) {
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
    call.trace_id && !inRun
      ? h(
          "a",
          { class: "button small", href: state.hrefOf("run", { id: call.run_id || call.trace_id }) },
          "Open the run",
        )
      : "",
  );
}

function costOf(call) {
  const quality = call.cost_quality && call.cost_quality !== "priced" ? ` (${call.cost_quality})` : "";
  if (call.cost_usd !== null) return `$${call.cost_usd}${quality}`;
  const used = call.input_tokens !== null || call.output_tokens !== null;
  if (used) return "unpriced: no price is known for this model";
  const isOpen = call.outcome === "cancelled" || call.outcome === "timeout";
  return isOpen ? "not known: no usage came, the provider may bill some" : "none: nothing was used";
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
  const last = (call.attempts_list || []).at(-1);
  add("HTTP status", last?.status);
  add("May be tried again after", last?.retry_after_seconds ? duration(last.retry_after_seconds) : "");
  add("Waited on rate limits", call.wait_seconds ? duration(call.wait_seconds) : "");
  add("Waited to try again", call.retry_wait_seconds ? duration(call.retry_wait_seconds) : "");
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
    add("Cost", costOf(call));
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

/** Tokens by kind times their price, and what the price list, the vendor or a discount says beside it. */
function arithmetic(call) {
  const lines = (call.arithmetic || []).map((line) => [
    line.kind,
    line.tokens === null ? "" : line.tokens.toLocaleString("en"),
    line.per_million_usd === null ? "" : usd(line.per_million_usd),
    usd(line.usd),
  ]);
  const total = call.cost_usd === null ? null : toned(["Cost", "", "", usd(Number(call.cost_usd))], "sum");
  const notes = [
    call.cost_detail ? `${call.cost_quality === "unpriced" ? "Unpriced" : "Estimated"}: ${call.cost_detail}.` : "",
    call.list_cost_usd && call.list_cost_usd !== call.cost_usd
      ? `${usd(Number(call.list_cost_usd))} at list price.`
      : "",
    call.stated_cost_usd ? `The vendor states ${usd(Number(call.stated_cost_usd))}.` : "",
    call.usage_mismatch ? `The usage contradicts itself: ${call.usage_mismatch}.` : "",
    call.price_source ? `Prices: ${call.price_source}.` : "",
  ].filter(Boolean);
  if (!lines.length && !notes.length) return null;
  const numbers = ["Tokens", "$ per million", "$"].map((name) => [name, "number"]);
  return h(
    "section",
    { class: "arithmetic" },
    h("h3", {}, "Cost"),
    lines.length
      ? table(["", ...numbers], total ? [...lines, total] : lines, { "aria-label": "Cost by kind of token" })
      : "",
    notes.map((note) => h("p", { class: "muted small" }, note)),
  );
}

const SAID = { input: "Prompt", output: "Answer", arguments: "Arguments", result: "Result" };
const SHOWN = 30;

/** Messages as a chat where they can be read as such, else as they are; of many, the first and the newest. */
function content(call) {
  const names = Object.keys(call.content || {});
  if (!names.length) return null;
  return h(
    "section",
    { class: "said" },
    h("h3", {}, "What was said"),
    names.map((name) => {
      const found = call.kind === "tool" ? null : messagesOf(call.content[name]);
      if (!found) return plainBubble(SAID[name] || name, call.content[name]);
      const bubbles = found.messages.map((one) =>
        h("div", { class: `bubble ${one.role}` }, h("b", {}, one.role), h("p", {}, one.text)),
      );
      const more = bubbles.length - SHOWN;
      if (more > 0) {
        const hidden = bubbles.splice(1, more);
        const title = `${more} messages between`;
        bubbles.splice(1, 0, h("details", {}, h("summary", {}, title), hidden));
      }
      return [bubbles, found.cut ? h("p", { class: "muted small" }, found.cut) : ""];
    }),
  );
}

const plainBubble = (name, text) =>
  h("div", { class: "bubble" }, h("b", {}, name), h("pre", { tabindex: "0" }, readable(text)));

function raw(call) {
  const { arithmetic: ignored, attempts_list: also, ...record } = call;
  return h("details", {}, h("summary", {}, "Raw JSON"), h("pre", { tabindex: "0" }, JSON.stringify(record, null, 2)));
}

/** The attributes of a span, without the content that stands above them. */
export function attributesOf(span) {
  const pairs = Object.entries(span.attributes).filter(([name]) => !/messages$|arguments$|result$/.test(name));
  if (!pairs.length) return "";
  const text = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return h(
    "details",
    { open: !span.call },
    h("summary", {}, `${pairs.length} ${pairs.length === 1 ? "attribute" : "attributes"} of the span`),
    h(
      "dl",
      { class: "facts mono" },
      pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, text(value))]),
    ),
  );
}
