// Numbers and times as people read them.

import { now } from "./clock.js";

/** @type {[number, string, number][]} */
const SMALL = [
  [1, "s", 1],
  [1e-3, "ms", 1e3],
  [1e-6, "µs", 1e6],
  [0, "ns", 1e9],
];

function digits(value) {
  const size = Math.abs(value);
  return size >= 100 ? 0 : size >= 10 ? 1 : 2;
}

export function duration(value) {
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size >= 86400) return `${(value / 86400).toFixed(1)} d`;
  if (size >= 3600) return `${(value / 3600).toFixed(1)} h`;
  if (size >= 120 || size === 60) return `${(value / 60).toFixed(size % 60 ? 1 : 0)} min`;
  for (const [from, unit, factor] of SMALL) {
    if (size >= from * 0.9995)
      return `${(value * factor).toFixed(unit === "ms" || unit === "µs" ? (size * factor < 10 ? 1 : 0) : digits(value))} ${unit}`;
  }
  return `${value} s`;
}

export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${(value / 1e9).toFixed(2)}G`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(2)}M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  if (size >= 1e3) return `${(value / 1e3).toFixed(2)}k`;
  if (size === 0) return "0";
  if (size < 0.001) return value.toExponential(1);
  if (size < 0.1) return value.toFixed(4).replace(/0+$/, "");
  return Number.isInteger(value) ? String(value) : value.toFixed(size < 10 ? 2 : 1);
}

export function usd(value) {
  const size = Math.abs(value);
  const sign = value < 0 ? "-" : "";
  if (size >= 1e6) return `${sign}$${(size / 1e6).toFixed(2)}M`;
  if (size >= 1e4) return `${sign}$${(size / 1e3).toFixed(1)}k`;
  if (size >= 1) return `${sign}$${size.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  if (size === 0) return "$0";
  if (size >= 0.01) return `${sign}$${size.toFixed(3)}`;
  if (size >= 0.000001) return `${sign}$${size.toFixed(Math.min(9, 2 - Math.floor(Math.log10(size))))}`;
  return `${sign}$${size.toExponential(1)}`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (Math.abs(value) >= 1024 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${value.toFixed(index && value < 100 ? 1 : 0)} ${units[index]}`;
}

const BY_UNIT = {
  s: duration,
  seconds: duration,
  currencyUSD: usd,
  usd,
  percentunit: (value) => `${(value * 100).toFixed(Math.abs(value) < 0.1 ? 2 : 1)} %`,
  cps: (value) => `${short(value)}/s`,
  reqps: (value) => `${short(value)}/s`,
  ops: (value) => `${short(value)}/s`,
  bytes,
  decbytes: bytes,
};

/** A value in a unit of the catalogue (Grafana's unit names). */
export function value(number, unit) {
  if (number === null || number === undefined || Number.isNaN(number)) return "–";
  if (number === Infinity) return "+∞";
  if (number === -Infinity) return "-∞";
  return (BY_UNIT[unit] || short)(number);
}

const pad = (number) => String(number).padStart(2, "0");

// One time zone for the whole page: this browser's, or UTC. Times are shifted once and read as if they were UTC.
let utc = false;

export function useUtc(on) {
  utc = on;
}

export function zoneName() {
  return utc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
}

const offset = (unix) => (utc ? 0 : new Date(unix * 1000).getTimezoneOffset() * -60);
const shifted = (unix) => new Date((unix + offset(unix)) * 1000);
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const day = (date) => `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;

export function clock(unix, span = 0) {
  const date = shifted(unix);
  const time = `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}`;
  if (span > 86400 * 1.5) return `${day(date)} ${time}`;
  return span && span < 900 ? `${time}:${pad(date.getUTCSeconds())}` : time;
}

export function moment(unix) {
  return `${day(shifted(unix))} ${timeOfDay(unix)}`;
}

export function timeOfDay(unix) {
  const date = shifted(unix);
  return `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}`;
}

/** A time as an input of kind datetime-local has it, and back. */
export const toInput = (unix) => shifted(unix).toISOString().slice(0, 19);
export const fromInput = (text) => unshifted(Date.parse(`${text}Z`) / 1000);

/** The moment at which the page's clock shows a time: by the offset that holds then, which a change of clocks has moved. */
const unshifted = (local) => local - offset(local - offset(local));

export function ago(unix, at = now()) {
  const gone = Math.max(0, at - unix);
  if (gone < 90) return `${Math.round(gone)} s`;
  if (gone < 5400) return `${Math.round(gone / 60)} min`;
  if (gone < 129600) return `${Math.round(gone / 3600)} h`;
  return `${Math.round(gone / 86400)} d`;
}

/** How many there are: every digit, as long as people count in them. */
export function count(number) {
  return number < 1e5 ? number.toLocaleString("en") : short(number);
}

/**
 * A long name with its middle left out: names of models differ at their ends. Where another of `others` would look the
 * same, the part in which they differ stays.
 */
export function shorten(text, most = 40, others = []) {
  if (globalThis.innerWidth < 560) most = Math.min(most, 18); // columns of a phone
  if (text.length <= most) return text;
  const head = Math.floor((most - 1) * 0.4);
  const [start, end] = [text.slice(0, head), text.slice(text.length - (most - 1 - head))];
  const alike = others.filter((one) => one !== text && one.length > most && one.startsWith(start) && one.endsWith(end));
  return alike.length ? aroundDifference(text, alike, most) : `${start}…${end}`;
}

/** A name's beginning, the part from where it differs from names like it, and its end. */
function aroundDifference(text, alike, most) {
  let from = text.length;
  let kept = text.length;
  for (const one of alike) {
    let i = 0;
    while (i < text.length && text[i] === one[i]) i += 1;
    from = Math.min(from, i);
    let j = 0;
    while (j < text.length - i && text.at(-1 - j) === one.at(-1 - j)) j += 1;
    kept = Math.min(kept, j);
  }
  const ahead = Math.max(2, Math.floor(most * 0.2));
  const tail = Math.min(kept, Math.floor(most * 0.25));
  const begin = Math.max(0, from - 3);
  const room = most - ahead - tail - 2;
  const middle = text.slice(begin, Math.min(begin + room, text.length - tail));
  const skipped = begin + middle.length < text.length - tail ? "…" : "";
  return `${text.slice(0, Math.min(ahead, begin))}${begin > ahead ? "…" : ""}${middle}${skipped}${text.slice(text.length - tail)}`;
}

/** The first few of a list, and how many more there are. */
export function few(names, most = 4) {
  const told = names.slice(0, most).map((name) => shorten(name));
  return names.length > most ? `${told.join(", ")} and ${names.length - most} more` : told.join(", ");
}

/** A length that a person has set, in whole units. */
export function span(seconds) {
  return duration(seconds).replace(/\.0+ /, " ");
}

/** A legend: `{{provider}}/{{model}}` filled from labels. */
export function legend(template, labels) {
  if (!template) {
    const named = Object.entries(labels).filter(([name]) => name !== "__name__");
    return named.length ? named.map(([name, text]) => `${name}=${text}`).join(" ") : "value";
  }
  return template.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, name) => labels[name] ?? "");
}

/** Round tick values covering [low, high]. */
export function ticks(low, high, count) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const found = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step)
    found.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  return found;
}

const TIME_STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800,
];

/** What stands at the ticks of an axis: one unit for all of them, and no digits that say nothing. */
export function tickLabels(found, unit) {
  const high = Math.max(...found.map(Math.abs));
  const isSeconds = BY_UNIT[unit] === duration && high >= 1 && high < 600;
  const isCents = BY_UNIT[unit] === usd && high >= 1e-5 && high < 1;
  let labels = found.map((tick) =>
    isSeconds ? `${tick.toFixed(2)} s` : isCents ? `$${tick.toFixed(7)}` : value(tick, unit),
  );
  const idle = /\.(\d*)0(?!\d)/;
  while (labels.some((text) => idle.test(text)) && labels.every((text) => !text.includes(".") || idle.test(text)))
    labels = labels.map((text) => text.replace(idle, ".$1").replace(/\.(?!\d)/, ""));
  return labels;
}

/** Round times covering a range, in the page's time zone. */
export function timeTicks(from, to, count) {
  const step = TIME_STEPS.find((candidate) => (to - from) / candidate <= count) || 604800;
  const shift = offset(from);
  const found = [];
  for (let local = Math.ceil((from + shift) / step) * step; ; local += step) {
    const tick = step > 3600 ? unshifted(local) : local - shift; // hours stay whole where the clocks change
    if (tick > to) return found;
    found.push(tick);
  }
}

/** Rows as comma-separated values that a spreadsheet cannot run: text that begins like a formula gets a quote before it. */
export function csv(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const runs = Number.isNaN(Number(text)) && /^ *[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text);
    const safe = runs ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return new Blob([rows.map((row) => row.map(cell).join(",") + "\n").join("")], { type: "text/csv" });
}
