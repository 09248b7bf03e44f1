// Text of charts: measured with the page's own font, and as large as the page's text is.

import { s } from "../dom.js";
import { shorten } from "../format.js";

const BASE = 14;
let pen = null;
let known = new Map();

/** The page's fonts, as the style sheet names them. */
export const font = () => getComputedStyle(document.body).fontFamily;

/** How much larger than at its base size the page's text is: it grows on wide screens and with the reader's setting. */
export const scale = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / BASE;

/** Pixels that a text takes at a size of the base page. */
export function textWidth(text, size, weight = 400) {
  const key = `${weight} ${size} ${text}`;
  let width = known.get(key);
  if (width === undefined) {
    pen ||= document.createElement("canvas").getContext("2d");
    pen.font = `${weight} ${size * scale()}px ${font()}`;
    width = pen.measureText(text).width;
    if (known.size > 5000) known = new Map();
    known.set(key, width);
  }
  return width;
}

/** Forget what was measured: another font has come, or another size. */
export function remeasure() {
  known = new Map();
}

/** The text, or as much of it as fits around an ellipsis and distinguishes it from the others. */
export function fit(text, width, size, weight = 400, others = []) {
  if (textWidth(text, size, weight) <= width) return text;
  let [low, high] = [0, text.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (textWidth(shorten(text, middle + 1, others), size, weight) <= width) low = middle;
    else high = middle - 1;
  }
  return low ? shorten(text, low + 1, others) : "";
}

/** The width of the widest text. */
export const widest = (texts, size, weight = 400) => Math.max(0, ...texts.map((text) => textWidth(text, size, weight)));

/** A text element at a size of the base page. */
export function label(attributes, text, size = 11) {
  return s("text", { "font-size": (size * scale()).toFixed(1), "font-family": font(), ...attributes }, text);
}
