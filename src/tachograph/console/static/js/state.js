// Everything that a person has chosen is in the URL: #/view?name=value. Reading it is the only way to know.

import { now } from "./clock.js";

const listeners = new Set();

export function read() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: path || "now", params: new URLSearchParams(query || "") };
}

export function get(name, fallback = "") {
  return read().params.get(name) ?? fallback;
}

/** Change the URL: a value of null or "" leaves it. `push` makes a step for the back button. */
export function set(changes, { view = null, push = false } = {}) {
  const there = read();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") there.params.delete(name);
    else there.params.set(name, String(value));
  }
  const query = there.params.toString();
  const hash = `#/${view ?? there.view}${query ? `?${query}` : ""}`;
  if (hash === location.hash) return;
  if (push) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
  for (const listener of listeners) listener();
}

/** The address of another view with the same time range and filters. */
export function hrefOf(view, changes = {}) {
  const { params } = read();
  const kept = new URLSearchParams();
  for (const name of [
    "range",
    "from",
    "to",
    "refresh",
    "theme",
    "provider",
    "model",
    "server_id",
    "tool_name",
    "job",
    "instance",
    "source",
  ]) {
    if (params.has(name)) kept.set(name, params.get(name));
  }
  for (const [name, value] of Object.entries(changes)) kept.set(name, value);
  const query = kept.toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = () => {
  for (const listener of listeners) listener();
};
addEventListener("popstate", tell);
addEventListener("hashchange", tell);

const UNITS = { s: 1, m: 60, h: 3600, d: 86400 };
export const RANGES = ["5m", "15m", "1h", "3h", "6h", "1d", "7d"];

/** Seconds of "15m", or null. */
export function seconds(text) {
  const match = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text.trim());
  return match ? Number(match[1]) * UNITS[match[2]] : null;
}

let usual = "15m";

/** What is shown while nothing is chosen: of a process that began a moment ago no ten empty minutes. */
export function suit(age) {
  usual = age < seconds(RANGES[0]) ? RANGES[0] : RANGES[1];
}

/** The live range by its name. */
export const rangeName = () => get("range", usual);

/** The time range now: {from, to} in unix seconds, and whether its end is "now". */
export function range() {
  const { params } = read();
  const from = Number(params.get("from"));
  const to = Number(params.get("to"));
  if (from && to && to > from) return { from, to, live: false };
  const length = seconds(rangeName()) || seconds(usual);
  const end = now();
  return { from: end - length, to: end, live: true };
}

/** Seconds between refreshes; 0 is paused. */
export function refreshSeconds() {
  const asked = get("refresh", "5");
  return asked === "off" ? 0 : Math.max(1, Number(asked) || 5);
}
