// Numbers and times as the page writes them.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../../../src/tachograph/console/static/js/format.js";

test("durations have the unit that people use", () => {
  const shown = [0, 0.0000042, 0.0123, 0.85, 2.5, 61, 150, 5400, 172800].map(format.duration);
  assert.deepEqual(shown, ["0 s", "4.2 µs", "12 ms", "850 ms", "2.50 s", "61.0 s", "2.5 min", "1.5 h", "2.0 d"]);
});

test("ticks of less than a dollar have as many digits as each other", () => {
  assert.deepEqual(format.tickLabels([0, 0.005, 0.01], "currencyUSD"), ["$0.000", "$0.005", "$0.010"]);
  assert.deepEqual(format.tickLabels([0, 1, 2], "currencyUSD"), ["$0", "$1", "$2"]);
});

test("money never rounds a cost to nothing", () => {
  const shown = [0, 0.0000000012, 0.00026, 0.31, 12.345, -4, 15000, 2.5e6].map(format.usd);
  assert.deepEqual(shown, ["$0", "$1.2e-9", "$0.000260", "$0.310", "$12.35", "-$4.00", "$15.0k", "$2.50M"]);
});

test("money has three digits that say something, and thousands stand apart", () => {
  assert.deepEqual([0.009686, 0.0000733, 2730.18].map(format.usd), ["$0.00969", "$0.0000733", "$2,730.18"]);
});

test("long names that look alike keep the part in which they differ", () => {
  const names = [20, 95, 170].map(
    (n) => `openai/accounts/an-organisation/eu-west-3-model-${n}-2026-11-26-preview prompt`,
  );
  const short = names.map((name) => format.shorten(name, 40, names));
  assert.equal(new Set(short).size, 3);
  names.forEach((name, i) => assert.ok(short[i].includes(["20", "95", "170"][i]) && short[i].endsWith(" prompt")));
  assert.ok(short.every((name) => name.length <= 40));
  assert.equal(format.shorten("gpt-5", 40, ["gpt-5-mini"]), "gpt-5");
});

test("an axis has one unit and no idle digits", () => {
  assert.deepEqual(format.tickLabels([0, 20, 40, 60, 80], "s"), ["0 s", "20 s", "40 s", "60 s", "80 s"]);
  assert.deepEqual(format.tickLabels([0, 0.25, 0.5], "percentunit"), ["0 %", "25 %", "50 %"]);
  assert.deepEqual(format.tickLabels([0, 1000, 2500], "short"), ["0", "1.0k", "2.5k"]);
});

test("what is not known is a dash, not zero", () => {
  assert.equal(format.value(null, "s"), "–");
  assert.equal(format.value(NaN, "currencyUSD"), "–");
  assert.equal(format.value(0.0123, "percentunit"), "1.23 %");
});

test("a legend is filled from labels", () => {
  assert.equal(format.legend("{{provider}}/{{ model }}", { provider: "openai", model: "gpt-5" }), "openai/gpt-5");
  assert.equal(format.legend("", { job: "x" }), "job=x");
});

test("a change of clocks moves neither a chosen time nor the midnights of an axis", () => {
  process.env.TZ = "Europe/Berlin";
  const day = (text) => Date.parse(text) / 1000;
  for (const at of [
    day("2026-03-29T00:30Z"),
    day("2026-03-29T01:30Z"),
    day("2026-10-25T01:30Z"),
    day("2026-10-25T03:30Z"),
  ])
    assert.equal(format.fromInput(format.toInput(at)), at);
  const midnights = ["2026-10-23T22:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z", "2026-10-26T23:00Z"].map(day);
  assert.deepEqual(format.timeTicks(midnights[0], midnights[3], 4), midnights);
});

test("times are in the zone that is chosen", () => {
  format.useUtc(true);
  assert.equal(format.zoneName(), "UTC");
  assert.equal(format.moment(0), "1 Jan 00:00:00");
  assert.equal(format.fromInput(format.toInput(1_700_000_000)), 1_700_000_000);
  assert.deepEqual(format.timeTicks(0, 3600, 4), [0, 900, 1800, 2700, 3600]);
});

test("ticks are round and cover the range", () => {
  assert.deepEqual(format.ticks(0, 1, 4), [0, 0.25, 0.5, 0.75, 1]);
  assert.deepEqual(format.ticks(5, 5, 4), [5]);
});

test("a spreadsheet runs nothing that a name says", async () => {
  const text = await format.csv([["=1+1", -5, 'a "b"', null]]).text();
  assert.equal(text, `'=1+1,-5,"a ""b""",\n`);
});
