// A window that has just come to the front has not been read yet: its buttons wait once more. The
// style sheet alone lets them wait after the page has come.
"use strict";

const main = document.querySelector(".guarded");

function waitAgain() {
  main.classList.remove("guarded");
  void main.offsetWidth; // without a layout in between the animation would not begin again
  main.classList.add("guarded");
}

addEventListener("focus", waitAgain);
addEventListener("pageshow", (event) => event.persisted && waitAgain());
document.addEventListener("visibilitychange", () => document.hidden || waitAgain());
