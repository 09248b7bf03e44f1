// What a panel reads out of its answers: which of many series are drawn, one number of many, events, buckets.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  deCumulate,
  drawn,
  fillIn,
  happenings,
  latest,
  reduced,
  regexOf,
  together,
  tone,
} from "../../../../src/tachograph/console/static/js/panel/reading.js";

const named = (...names) => names.map((name) => ({ name }));
const row = (...numbers) => Float64Array.of(...numbers);
const RISING = { thresholds: [{ value: null, color: "green" }, { value: 5, color: "red" }] }; // prettier-ignore
const FALLING = { thresholds: [{ value: null, color: "red" }, { value: 0.5, color: "green" }] }; // prettier-ignore

test("of many lines the largest are drawn in their order, and the others are counted", () => {
  const found = drawn(named("a", "b", "c"), [row(1, 1), row(NaN, 9), row(4, 4)], 2, false);
  assert.deepEqual(
    found.series.map(({ name }) => name),
    ["b", "c"],
  );
  assert.equal(found.others, 1);
});

test("a stack keeps its sum: the others are one layer, and an unknown value adds nothing", () => {
  const found = drawn(named("a", "b", "c"), [row(5, 5), row(1, NaN), row(2, NaN)], 1, true);
  assert.equal(found.series.at(-1).name, "2 others");
  assert.deepEqual([...found.rows.at(-1)], [3, NaN]);
  assert.equal(found.others, 0);
});

test("a stack counts what stood at zero instead of drawing it, also when all did", () => {
  const found = drawn(named("a", "b"), [row(0, 0), row(0, 1)], 9, true);
  assert.deepEqual([found.series.length, found.quiet], [1, 1]);
  assert.deepEqual(drawn(named("a"), [row(0)], 9, true), { series: [], rows: [], others: 0, quiet: 1 });
});

test("a number of many series is the worst by the thresholds' side, or the sum", () => {
  assert.deepEqual(reduced({ ...RISING, reduce: "worst" }, [1, 7, NaN]), { value: 7, chosen: 1 });
  assert.deepEqual(reduced({ ...FALLING, reduce: "worst" }, [0.9, -59, 1]), { value: -59, chosen: 1 });
  assert.deepEqual(reduced({ reduce: "sum" }, [1, NaN, 2]), { value: 3, chosen: null });
  assert.deepEqual(reduced({ reduce: "sum" }, [4]), { value: 4, chosen: 0 });
  assert.equal(tone(FALLING, -59), "bad");
  assert.equal(tone(RISING, 2), "");
  assert.equal(tone(FALLING, NaN), "", "what is not known is not bad");
});

test("a value of now is one of the last three steps, or none", () => {
  assert.equal(latest([1, 2, NaN, NaN]), 2);
  assert.ok(Number.isNaN(latest([7, NaN, NaN, NaN])));
});

test("single events near each other become one mark of their count", () => {
  assert.deepEqual(together([[0], [5], [50]], 10), [{ time: 0, value: 2 }, { time: 50, value: 1 }]); // prettier-ignore
});

test("a run of a sliding increase is one event in the middle of what it slid over", () => {
  const window = { from: 0, to: 900, step: 10, rateInterval: 40 };
  const [one, more] = happenings([[110, "1"], [120, "1"], [130, "1"], [140, "1"], [150, "0"]], window); // prettier-ignore
  assert.deepEqual([one, more], [{ time: 105, value: 1 }, undefined]);
});

test("buckets hold only their own, from the lowest on", () => {
  const series = (le, value) => ({ metric: { le }, values: [[0, value]] });
  const own = deCumulate([series("+Inf", "9"), series("0.1", "4"), series("1", "7")]);
  assert.deepEqual(
    own.map((one) => [one.metric.le, one.value[1]]),
    [["0.1", 4], ["1", 3], ["+Inf", 2]], // prettier-ignore
  );
});

test("variables are filled in, and chosen names are no regular expressions", () => {
  const values = { choices: { model: regexOf(['a.b"']) }, rateInterval: 20, range: 900 };
  assert.equal(
    fillIn('x{model=~"$model",job=~"$job"}[$__rate_interval]', values),
    'x{model=~"a\\\\.b\\"",job=~".*"}[20s]',
  );
});
