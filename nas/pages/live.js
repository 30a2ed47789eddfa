"use strict";
// The page asks for itself again, and puts in what is new; where it is scrolled to and what is open stay.
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
function put(page) {
  const open = [...document.querySelectorAll("details[open]")].map((one) => one.id);
  const at = window.scrollY;
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (typeof arm === "function") arm();
  window.scrollTo(0, at);
}
again();
