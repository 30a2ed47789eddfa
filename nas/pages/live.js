"use strict";
// The page asks for itself again, and puts in what is new; where it is scrolled to, what is open and the focus stay.
let tag = null;
async function again() {
  try {
    const answer = await fetch("/", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (answer.status === 200) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      tag = answer.headers.get("ETag");
      put(page);
    }
    say(document.getElementById("state")?.dataset.so);
  } catch {
    say("no longer served: this is what was seen last");
  }
  setTimeout(again, 2000);
}
function say(text) {
  const state = document.getElementById("state");
  if (state) state.textContent = text;
}
// An element as it is found again in the next page: the id of what is around it, its kind, and its number there.
function way(one) {
  const around = one.parentElement.closest("[id]") ?? document.querySelector("main");
  return [around.id, one.tagName, [...around.querySelectorAll(one.tagName)].indexOf(one)];
}
function there([id, kind, number]) {
  return (id ? document.getElementById(id) : document.querySelector("main"))?.querySelectorAll(kind)[number];
}
function put(page) {
  const open = [...document.querySelectorAll("details[open]")].map((one) => one.id);
  const aside = [...document.querySelectorAll("main *")].filter((one) => one.scrollLeft);
  const asides = aside.map((one) => [way(one), one.scrollLeft]);
  const focused = document.activeElement?.closest("main *");
  const focus = focused && way(focused);
  const at = window.scrollY;
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (typeof arm === "function") arm();
  for (const [one, left] of asides) there(one)?.scrollTo({ left });
  if (focus) there(focus)?.focus({ preventScroll: true });
  window.scrollTo(0, at);
}
again();
