// Small helpers for building elements. Text from outside becomes text nodes only, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in element && typeof value === "boolean") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map((child) => (typeof child === "string" ? child.replace(TURNS, "\ufffd") : child)),
  );
  return element;
}

/** Signs that turn the direction of the text after them: an error's text could show itself as another one. */
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

/** An HTML element: h("button", {class: "x", onclick}, "text"). */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** One stop of the Tab key for a long list: the arrow keys, Home and End go through it. */
export function roving(root, selector) {
  root.addEventListener("keydown", (event) => {
    const all = [...root.querySelectorAll(selector)];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    all[to]?.focus();
  });
  root.addEventListener("focusin", (event) => stopAt(root, selector, event.target.closest(selector)));
  return root;
}

/** Let the Tab key stop at this one of a list, or at the first. */
export function stopAt(root, selector, chosen) {
  const all = [...root.querySelectorAll(selector)];
  const stop = all.includes(chosen) ? chosen : all[0];
  for (const one of all) one.tabIndex = one === stop ? 0 : -1;
}

/** An SVG element. */
export function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const name in attributes) {
    const value = attributes[name];
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * A table: the first cell of each row names it.
 * @param {(string | string[])[]} heads the columns' names, each with the class of its cells.
 * @param {any[][]} rows cells, in order; a class for the row is its property `tone`.
 */
export function table(heads, rows, attributes = {}) {
  const columns = heads.map((head) => (typeof head === "string" ? [head, ""] : head));
  const cell = (content, index) =>
    h(index ? "td" : "th", { scope: index ? null : "row", class: columns[index][1] || null }, content);
  return h(
    "table",
    { class: "grid", ...attributes },
    columns.some(([name]) => name)
      ? h(
          "thead",
          {},
          h(
            "tr",
            {},
            columns.map(([name, kind]) =>
              h(name ? "th" : "td", { scope: name ? "col" : null, class: kind || null }, name),
            ),
          ),
        )
      : null,
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", { class: /** @type {any} */ (row).tone || null }, row.map(cell))),
    ),
  );
}

/** A row of a table with a class of its own. */
export const toned = (cells, tone) => Object.assign(cells, { tone });

/** The line in a series' colour before its name. */
export function key(colour, dash = null) {
  const line = { x1: 1, x2: 17, y1: 3, y2: 3, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash };
  const box = { width: 18, height: 6, class: "key", "aria-hidden": "true" };
  return s("svg", box, s("line", { ...line, "stroke-linecap": dash ? null : "round" }));
}

/**
 * Fill an element with what the data says now. A part that is the same stays as it is; where a part is replaced, the
 * keyboard's focus, scrolled tables and opened details come back.
 */
export function refill(parent, ...children) {
  const focused = parent.contains(document.activeElement) && parent !== document.activeElement;
  const before = focused ? stops(parent) : [];
  const at = before.indexOf(document.activeElement);
  const key = at < 0 ? "" : nameOf(before[at]);
  const nth = before.slice(0, at).filter((one) => nameOf(one) === key).length;
  const scrolled = [...parent.querySelectorAll(".table-scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
  const opened = new Map(detailsIn(parent).map(([name, one]) => [name, one.open]));
  const fresh = [...h("div", {}, children).childNodes]; // takes away what of them is here already
  const old = [...parent.childNodes];
  if (old.length === fresh.length) {
    fresh.forEach((node, index) => {
      if (!node.isEqualNode(old[index])) old[index].replaceWith(node);
    });
  } else parent.replaceChildren(...fresh);
  parent.querySelectorAll(".table-scroll").forEach((one, index) => one.scrollTo(...(scrolled[index] || [0, 0])));
  for (const [name, one] of detailsIn(parent)) one.open = opened.get(name) ?? one.open;
  if (at < 0 || parent.contains(document.activeElement)) return;
  const after = stops(parent);
  const same = after.filter((one) => nameOf(one) === key);
  (same[nth] ?? same[0] ?? after[Math.min(at, after.length - 1)])?.focus({ preventScroll: true });
}

const stops = (root) => [...root.querySelectorAll("a[href], button, input, select, summary, [tabindex]")];
const nameOf = (one) =>
  Object.values(one.dataset)[0] ??
  one.getAttribute("href") ??
  one.getAttribute("aria-label") ??
  one.name ??
  one.textContent;
const detailsIn = (root) =>
  [...root.querySelectorAll("details")].map((one) => [one.querySelector("summary")?.textContent, one]);

/** @returns {any} */
export const $ = (selector, root = document) => root.querySelector(selector);

/** Say something to a screen reader, after what it has still to say. */
export function announce(text) {
  const box = $("#announcer");
  box.append(h("p", {}, text));
  while (box.children.length > 4) box.firstChild.remove();
}

let toastTimer = 0;
/** A short message at the foot of the page. */
export function toast(text) {
  let box = $("#toast");
  if (!box) document.body.append((box = h("div", { id: "toast", class: "toast", role: "status" })));
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => box.classList.remove("shown"), 2600);
}

/** Copy text; says so. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "sr-only" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(`${what} copied`);
}

/** Hand the browser a file. */
export function download(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const ICONS = {
  live: "M4 12a8 8 0 1 1 2.3 5.6M4 18v-5h5",
  pause: "M9 5v14M15 5v14",
  play: "M7 5l11 7-11 7z",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  help: "M9.2 9a3 3 0 1 1 4.4 2.7c-1 .5-1.6 1.2-1.6 2.3M12 17.5v.01",
  menu: "M5 12h.01M12 12h.01M19 12h.01",
  close: "M6 6l12 12M18 6L6 18",
  expand: "M14 4h6v6M10 20H4v-6M20 4l-7 7M4 20l7-7",
  table: "M4 5h16v14H4zM4 10h16M4 15h16M10 5v14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  out: "M4 12h16M8 8l-4 4 4 4M16 8l4 4-4 4",
  leave: "M14 4h5v16h-5M4 12h11M11 8l4 4-4 4",
  book: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11",
  filter: "M4 6h16M7 12h10M10 18h4",
};

/** A drawn icon of 16 px, hidden from screen readers. */
export function icon(name) {
  return s(
    "svg",
    { viewBox: "0 0 24 24", width: 16, height: 16, "aria-hidden": "true", class: "icon" },
    s("path", {
      d: ICONS[name],
      fill: "none",
      stroke: "currentColor",
      "stroke-width": name === "menu" ? 3 : 1.8,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );
}
