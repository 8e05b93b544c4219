// Behaviour of all pages: switches, messages, confirmations, keyboard shortcuts. All forms and links work without it.

import { followStream } from "./auto-refresh.js";

// A switch changes at once. The response replaces the page, so it corrects the switch if the change was rejected.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-toggle]")) return;
  const control = event.target.querySelector("[role=switch]");
  control.dataset.before = control.getAttribute("aria-checked");
  control.setAttribute("aria-checked", control.dataset.before === "true" ? "false" : "true");
});

function resetSwitch(form) {
  const control = form.querySelector?.("[role=switch][data-before]");
  if (!control) return;
  control.setAttribute("aria-checked", control.dataset.before);
  delete control.dataset.before;
}

// The server could not be reached.
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    resetSwitch(event.target);
    showMessage("error", "The server cannot be reached. Nothing has been changed.");
  });
}

// The server could not change a switch: the page stays.
document.addEventListener("htmx:beforeSwap", (event) => {
  const form = event.detail.requestConfig?.elt;
  const { status } = event.detail.xhr;
  if (!form?.matches?.("form[data-toggle]") || status < 500) return;
  event.detail.shouldSwap = false;
  resetSwitch(form);
  showMessage("error", `The server cannot answer at the moment (${status}). The switch is back: try again in a moment.`);
});

export function showMessage(level, text) {
  const line = document.createElement("p");
  line.className = `message ${level}`;
  line.textContent = text;
  document.getElementById("messages").append(line);
}

// data-confirm: the question to confirm before an irreversible action. Without JavaScript there is a confirmation page.
let confirmed = null;

document.addEventListener("htmx:confirm", (event) => {
  const element = event.target;
  const question = element.dataset?.confirm;
  if (!question || element === confirmed) return;
  event.preventDefault();
  ask(question).then((yes) => yes && send(element));
});

/** Submit the confirmed element. If the page was replaced meanwhile, submit the same element of the new page. */
function send(element) {
  const isSame = (each) => each.dataset.confirm === element.dataset.confirm && target(each) === target(element);
  confirmed = element.isConnected ? element : [...document.querySelectorAll("[data-confirm]")].find(isSame);
  if (!confirmed) showMessage("error", "This is no longer there. Nothing has been changed.");
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
  for (const [value, label, kind] of [["yes", "Yes", "danger"], ["no", "Cancel", "secondary"]]) {
    const button = document.createElement("button");
    Object.assign(button, { value, textContent: label, className: kind });
    actions.append(button);
  }
  form.append(text, actions);
  dialog.append(form);
  // Not in the body: the response to an earlier request replaces its content.
  document.documentElement.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

// data-shortcut: the key that focuses an element ("/" for the search). Escape closes open menus.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const element = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
  if (element) {
    event.preventDefault();
    element.focus();
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("htmx:afterSettle", followStream);
followStream();

// A new page scrolls to its top and moves the focus to its content. A reload of the same page keeps both.
const address = () => window.location.pathname + window.location.search;
let currentAddress = address();

document.addEventListener("htmx:afterSettle", () => {
  if (address() === currentAddress) return;
  currentAddress = address();
  if (!window.location.hash) window.scrollTo(0, 0);
  if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
});

// data-auto-submit: a filter that submits its form when it changes. Without JavaScript there is a button.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-auto-submit]")) event.target.form.requestSubmit();
});
