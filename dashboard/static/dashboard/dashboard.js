// What every page does in a browser that runs scripts. Without them each form and link works all the same.

import { follow } from "./live.js";

// A toggle shows what it will be before the server has said so. What comes back is the truth: it replaces the page.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-toggle]")) return;
  const control = event.target.querySelector("[role=switch]");
  control.dataset.was = control.getAttribute("aria-checked");
  control.setAttribute("aria-checked", control.dataset.was === "true" ? "false" : "true");
});

// The server has not been reached at all.
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    const control = event.target.querySelector?.("[role=switch][data-was]");
    if (control) control.setAttribute("aria-checked", control.dataset.was);
    tell("error", "The server cannot be reached. Nothing has been changed.");
  });
}

export function tell(level, text) {
  const line = document.createElement("p");
  line.className = `message ${level}`;
  line.textContent = text;
  document.getElementById("messages").append(line);
}

// Forms that cannot be undone ask first. data-confirm is the question; a page without scripts asks on a page of its own.
let confirmed = null;

document.addEventListener("htmx:confirm", (event) => {
  const asking = event.target;
  const question = asking.dataset?.confirm;
  if (!question || asking === confirmed) return;
  event.preventDefault();
  ask(question).then((yes) => yes && send(asking));
});

/** Send what the question was about: the same form of the page that has come meanwhile, where one has. */
function send(asking) {
  const isSame = (each) => each.dataset.confirm === asking.dataset.confirm && target(each) === target(asking);
  confirmed = asking.isConnected ? asking : [...document.querySelectorAll("[data-confirm]")].find(isSame);
  if (!confirmed) tell("error", "This is no longer there. Nothing has been changed.");
  else if (confirmed.matches("form")) confirmed.requestSubmit();
  else confirmed.click();
  confirmed = null;
}

const target = (element) => element.getAttribute("hx-post") ?? element.getAttribute("action");

function ask(question) {
  const dialog = document.createElement("dialog");
  const form = document.createElement("form");
  form.method = "dialog";
  const text = document.createElement("p");
  text.textContent = question;
  text.id = "question";
  dialog.setAttribute("aria-labelledby", "question");
  const actions = document.createElement("p");
  actions.className = "actions";
  for (const [value, label, kind] of [["yes", "Yes", "danger"], ["no", "Cancel", "second"]]) {
    const button = document.createElement("button");
    Object.assign(button, { value, textContent: label, className: kind });
    actions.append(button);
  }
  form.append(text, actions);
  dialog.append(form);
  // Not in the body, whose content is replaced when the answer to something before comes.
  document.documentElement.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

// "/" leads to the search, as in many other places. Escape closes an open menu.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (wanted) {
    event.preventDefault();
    wanted.focus();
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("htmx:afterSettle", follow);
follow();

// Another page begins at its top, and is what the keyboard and a screen reader are at. The same one stays where it is.
const place = () => window.location.pathname + window.location.search;
let shown = place();

document.addEventListener("htmx:afterSettle", () => {
  if (place() === shown) return;
  shown = place();
  if (!window.location.hash) window.scrollTo(0, 0);
  if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
});

// A choice that narrows a list does so at once; without scripts there is the button.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});
