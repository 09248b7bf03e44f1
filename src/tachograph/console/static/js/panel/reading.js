// What a panel reads out of answers before it draws: no elements here.

/** @typedef {import("../catalogue.js").BoardPanel} BoardPanel */

const NEW = 3;

/** Single events near each other become one mark of that size. */
export function together(values, near) {
  const found = [];
  for (const [time] of values) {
    const last = found.at(-1);
    if (last && time - last.time < near) {
      last.value += 1;
    } else found.push({ time, value: 1 });
  }
  return found;
}

/** The value now: of the last few steps, or none. An old value is no value of now. */
export function latest(row) {
  for (let i = row.length - 1; i >= Math.max(0, row.length - NEW); i -= 1) if (Number.isFinite(row[i])) return row[i];
  return NaN;
}

/** Replace Grafana's variables by what is chosen; what is not chosen matches everything. */
export function fillIn(expression, { choices, rateInterval, range }) {
  return expression.replace(/\$\{?(\w+)\}?/g, (_, name) => {
    if (name === "__rate_interval" || name === "__interval") return `${rateInterval}s`;
    if (name === "__range") return `${Math.max(rateInterval, Math.round(range))}s`;
    return choices[name] ?? ".*";
  });
}

export const regexOf = (values) =>
  values.map((value) => value.replace(/[.*+?^${}()|[\]\\]/g, "\\\\$&").replaceAll('"', '\\"')).join("|");

/** Buckets that hold only their own, out of cumulated ones. */
export function deCumulate(result) {
  const sorted = [...result].sort((a, b) => bound(a.metric.le) - bound(b.metric.le));
  let below = null;
  return sorted.map((series) => {
    const pairs = series.values || [series.value];
    const previous = below;
    below = new Map(pairs);
    const values = pairs.map(([time, number]) => [
      time,
      Math.max(0, Number(number) - Number(previous?.get(time) ?? 0)),
    ]);
    return { metric: series.metric, values, value: values.at(-1) };
  });
}

/** The upper bound of a bucket. */
export const bound = (le) => (le === "+Inf" ? Infinity : Number(le));

/** Runs of a sliding increase become single events: where, and how many. */
export function happenings(values, window) {
  const { from, to, step, rateInterval } = window;
  const longest = Math.max(rateInterval * 1.5, (to - from) / 48);
  const found = [];
  let run = null;
  for (const [time, text] of values) {
    const value = Number(text);
    if (!(value > 0.01)) {
      run = null;
      continue;
    }
    if (!run || time - run.began > longest) {
      run = { began: time, weight: 0, moment: 0 };
      found.push(run);
    }
    run.weight += value;
    run.moment += value * time;
  }
  return found.map((one) => ({
    time: Math.max(from, one.moment / one.weight - rateInterval / 2),
    value: Math.max(1, Math.round((one.weight * step) / rateInterval)),
  }));
}

/** The class of a value by the panel's thresholds. @param {BoardPanel} def */
export function tone(def, value) {
  if (Number.isNaN(value)) return ""; // what is not known is not bad
  const limits = (def.thresholds || []).filter((limit) => limit.value === null || value >= limit.value);
  return { red: "bad", orange: "warn", yellow: "warn" }[limits.at(-1)?.color] || "";
}

/** How bad a value is: by the side of the scale where the thresholds are red. @param {BoardPanel} def */
export function badness(def, value) {
  if (!Number.isFinite(value)) return -Infinity;
  const limits = def.thresholds || [];
  const lowIsBad = limits.length > 0 && limits[0].color === "red";
  return lowIsBad ? -value : value;
}

/** Which number is the worst. @param {BoardPanel} def */
export function worst(def, numbers) {
  let found = 0;
  numbers.forEach((number, index) => {
    if (badness(def, number) > badness(def, numbers[found])) found = index;
  });
  return found;
}

/**
 * The number of a panel with one: the worst of many series, or their sum, as the panel says.
 * @param {BoardPanel} def
 * @returns {{value: number, chosen: number | null}} `chosen` is the series it is of; null where it is the sum of many.
 */
export function reduced(def, numbers) {
  if (def.reduce !== "worst" && numbers.length > 1)
    return { value: numbers.filter(Number.isFinite).reduce((sum, number) => sum + number, 0), chosen: null };
  const chosen = def.reduce === "worst" ? worst(def, numbers) : 0;
  return { value: numbers[chosen] ?? NaN, chosen };
}

/**
 * What of many series is drawn: the largest; the others are summed in a stack and counted beside lines. A stack leaves
 * out what stood at zero all the time, and counts it.
 */
export function drawn(series, rows, most, stacked) {
  let others = 0;
  if (series.length > most) {
    const weight = rows.map((row) => row.reduce((sum, number) => sum + (Number.isFinite(number) ? number : 0), 0));
    const order = rows.map((_, i) => i).sort((a, b) => weight[b] - weight[a]);
    const kept = order.slice(0, most).sort((a, b) => a - b);
    const rest = order.slice(most);
    others = rest.length;
    const sum = new Float64Array(rows[0].length).fill(NaN);
    for (const i of rest)
      rows[i].forEach((number, at) => {
        if (Number.isFinite(number)) sum[at] = (Number.isFinite(sum[at]) ? sum[at] : 0) + number;
      });
    series = kept.map((i) => series[i]);
    rows = kept.map((i) => rows[i]);
    if (stacked) {
      series.push({ name: `${others} others`, labels: { others: "1" }, values: [], n: null });
      rows.push(sum);
      others = 0;
    }
  }
  if (!stacked) return { series, rows, others, quiet: 0 };
  const loud = rows.map((row) => row.some((number) => number > 0));
  const quiet = loud.filter((one) => !one).length;
  return { series: series.filter((_, i) => loud[i]), rows: rows.filter((_, i) => loud[i]), others, quiet };
}
