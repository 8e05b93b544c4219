// What stands around pages, and buttons that copy. Both are of no use without scripts, so they are hidden until here.

import { tell } from "./dashboard.js";

function reveal() {
  for (const each of document.querySelectorAll("[data-copy], [data-filter]")) each.hidden = false;
}

// data-copy is the id of what to copy: a list line by line, anything else as it is.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const items = [...source.querySelectorAll("li")];
  const text = items.length ? items.map((item) => item.textContent.trim()).join("\n") : source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers give the clipboard to pages of https and of this machine alone: leave it marked, ready for Ctrl+C.
    window.getSelection().selectAllChildren(source);
    tell("error", "The browser does not let this page copy. The text is marked: copy it yourself.");
    return;
  }
  const was = button.textContent;
  button.textContent = "Copied";
  button.disabled = true;
  window.setTimeout(() => Object.assign(button, { textContent: was, disabled: false }), 1500);
});

// The search field of a long menu.
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-filter]")) return;
  const wanted = event.target.value.trim().toLowerCase();
  for (const item of event.target.parentElement.querySelectorAll("li")) {
    item.hidden = !item.textContent.toLowerCase().includes(wanted);
  }
});

// Enter takes the first that is left; arrows walk.
document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu) return;
  const links = [...menu.querySelectorAll("li:not([hidden]) a")];
  if (event.key === "Enter" && event.target.matches("[data-filter]")) {
    event.preventDefault();
    links[0]?.click();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && links.length) {
    event.preventDefault();
    const place = links.indexOf(document.activeElement);
    links[place < 0 && step < 0 ? links.length - 1 : (place + step + links.length) % links.length].focus();
  }
});

document.addEventListener("toggle", (event) => {
  if (event.target.matches?.("details.menu[open]")) event.target.querySelector("[data-filter]")?.focus();
}, true);

document.addEventListener("htmx:afterSettle", reveal);
reveal();
