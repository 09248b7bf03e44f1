// What is said beyond the page: the tab's title and icon, and to a screen reader what has changed.

import { $, announce } from "./dom.js";

const told = { view: "", firing: /** @type {string[] | null} */ (null), isGone: false };

export function tellView(name) {
  told.view = name;
  announce(name);
  draw();
}

/** The alerts that fire now: said once as they begin and end. */
export function tellFiring(names) {
  const before = told.firing ?? names;
  const news = [
    ...names.filter((name) => !before.includes(name)).map((name) => `${name} fires`),
    ...before.filter((name) => !names.includes(name)).map((name) => `${name} fires no longer`),
  ];
  if (news.length) announce(news.join(", "));
  told.firing = names;
  draw();
}

/** Whether what is shown could not be read again. */
export function tellGone(isGone) {
  told.isGone = isGone;
  draw();
}

function draw() {
  const { view, isGone } = told;
  const count = told.firing?.length ?? 0;
  document.title = `${isGone ? "No answer · " : count ? `(${count}) ` : ""}${view} · Tachograph`;
  const icon = $("link[rel=icon]");
  const wanted = `static/icon${isGone ? "-gone" : count ? "-firing" : ""}.svg`;
  if (icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
}
