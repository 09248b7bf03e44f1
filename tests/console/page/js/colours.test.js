// The palette's colours can be distinguished, also with a colour-vision deficiency, and stand out from their ground.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MEANING, NAMED, assign, dashes, mix, themes } from "../../../../src/tachograph/console/static/js/colours.js";

// Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB: doi.org/10.1109/TVCG.2009.113
const SIGHT = {
  normal: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritanopia: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};
/** Distance in OKLab below which two colours are one to a reader; 0.02 is just noticeable side by side. */
const APART = 0.075;

const linear = (hex) =>
  [1, 3, 5].map((at) => {
    const c = parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
const seen = (rgb, m) =>
  [0, 3, 6].map((row) => Math.min(1, Math.max(0, m[row] * rgb[0] + m[row + 1] * rgb[1] + m[row + 2] * rgb[2])));

/** OKLab: bottosson.github.io/posts/oklab */
function oklab([r, g, b]) {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}
const distance = (a, b) => Math.hypot(...a.map((x, i) => x - b[i]));
const luminance = (hex) => {
  const [r, g, b] = linear(hex);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};

for (const [theme, { palette, surface }] of Object.entries(themes)) {
  for (const [sight, matrix] of Object.entries(SIGHT)) {
    test(`the ${theme} palette can be distinguished with ${sight}`, () => {
      const names = Object.keys(palette);
      const labs = names.map((name) => oklab(seen(linear(palette[name]), matrix)));
      for (let i = 0; i < names.length; i += 1)
        for (let j = 0; j < i; j += 1)
          assert.ok(distance(labs[i], labs[j]) > APART, `${names[i]} and ${names[j]}: ${distance(labs[i], labs[j])}`);
    });
  }
  test(`the ${theme} palette stands out from its ground by 3:1`, () => {
    for (const [name, colour] of Object.entries(palette)) {
      const [high, low] = [luminance(colour), luminance(surface)].sort((a, b) => b - a);
      assert.ok((high + 0.05) / (low + 0.05) >= 3, `${name}: ${(high + 0.05) / (low + 0.05)}`);
    }
  });
}

test("every meaning and every name of the catalogue is a colour of the palette", () => {
  for (const name of [...Object.values(MEANING), ...Object.values(NAMED)]) assert.ok(name in themes.DARK.palette, name);
});

test("colours are mixed channel by channel", () => {
  assert.equal(mix("#000000", "#ffffff", 0.5), "#808080");
  assert.equal(mix("#123456", "#ffffff", 0), "#123456");
});

test("many series of one provider have the colours of the palette, and of several those of their providers", () => {
  globalThis.document = /** @type {any} */ ({ documentElement: { dataset: { theme: "dark" } } });
  const of = (...providers) =>
    providers.map((provider, i) => ({ name: String(i), labels: { provider, model: String(i) } }));
  const one = assign(of(...Array(10).fill("openai")));
  assert.equal(new Set(one).size, 10);
  assert.deepEqual(new Set(dashes(of(...Array(10).fill("openai")))), new Set([null]));
  assert.deepEqual(assign(of("openai", "anthropic")), [themes.DARK.palette.green, themes.DARK.palette.orange]);
});
