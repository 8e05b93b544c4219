// Copy buttons, and search and keyboard in menus. They need JavaScript, so they are hidden until this script runs.

import { showMessage } from "./dashboard.js";

function reveal() {
  for (const each of document.querySelectorAll("[data-copy], [data-filter]")) each.hidden = false;
}

// data-copy: the id of the element to copy. Items of a list are copied as lines.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const items = [...source.querySelectorAll("li")];
  const text = items.length ? items.map((item) => item.textContent.trim()).join("\n") : source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard needs https or localhost. Otherwise select the text for Ctrl+C.
    window.getSelection().selectAllChildren(source);
    showMessage("error", "The browser does not let this page copy. The text is marked: copy it yourself.");
    return;
  }
  const label = button.textContent;
  button.textContent = "Copied";
  button.disabled = true;
  window.setTimeout(() => Object.assign(button, { textContent: label, disabled: false }), 1500);
});

// data-filter: the search field of a long menu.
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-filter]")) return;
  const search = event.target.value.trim().toLowerCase();
  for (const item of event.target.parentElement.querySelectorAll("li")) {
    item.hidden = !item.textContent.toLowerCase().includes(search);
  }
});

// Enter follows the first visible link; arrow keys move the focus.
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
    const index = links.indexOf(document.activeElement);
    links[index < 0 && step < 0 ? links.length - 1 : (index + step + links.length) % links.length].focus();
  }
});

document.addEventListener("toggle", (event) => {
  if (event.target.matches?.("details.menu[open]")) event.target.querySelector("[data-filter]")?.focus();
}, true);

document.addEventListener("htmx:afterSettle", reveal);
reveal();
