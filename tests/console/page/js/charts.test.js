// What charts compute before they draw.

import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.document = { documentElement: { dataset: { theme: "dark" } } };
const { align, areaPath, stack } = await import("../../../../src/tachograph/console/static/js/charts/timeseries.js");
const same = (number) => number;

test("series are laid on one row of times, with gaps where they have no value", () => {
  const { times, rows } = align([{ values: [[10, "1"], [30, "3"]] }], { from: 10, to: 30, step: 10 }); // prettier-ignore
  assert.deepEqual([...times], [10, 20, 30]);
  assert.deepEqual([...rows[0]], [1, NaN, 3]);
});

test("a stack adds what is shown, and an unknown value adds nothing", () => {
  const layers = stack([Float64Array.of(1, 2, NaN), Float64Array.of(5, NaN, NaN)], [true, true]);
  assert.deepEqual([...layers[1].above], [6, 2, 0]);
  assert.deepEqual(layers[1].known, [true, true, false]);
  assert.equal(stack([Float64Array.of(1)], [false])[0], null);
});

test("a stack ends where the data ends instead of falling to zero", () => {
  const [layer] = stack([Float64Array.of(NaN, 4, 4, NaN)], [true]);
  const { area, edge } = areaPath([0, 1, 2, 3], layer, same, same);
  assert.equal(edge, "M1.0 4.0L2.0 4.0");
  assert.equal(area, "M1.0 4.0L2.0 4.0L2.0 0.0L1.0 0.0Z");
});

test("a layer of a stack that stands at zero has no edge", () => {
  const layers = stack([Float64Array.of(4, 4, 4, 4), Float64Array.of(0, 0, 0, 2)], [true, true]);
  assert.equal(areaPath([0, 1, 2, 3], layers[1], same, same).edge, "M2.0 4.0L3.0 6.0");
});
