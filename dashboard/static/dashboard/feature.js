// The pages of one feature: what is wrong is said while it is typed, times are those of the clock on the wall, and
// overrides are dragged. Each is possible without it; the server has the last word.

const INTEGERS = [-2147483648, 2147483647];

function setUp() {
  for (const form of document.querySelectorAll("form[data-state]")) {
    for (const part of form.querySelectorAll("[data-value]")) checkValue(part);
    for (const part of form.querySelectorAll("[data-weights]")) checkWeights(part);
    for (const input of form.querySelectorAll("[data-when]")) translate(input);
  }
}

document.addEventListener("input", (event) => {
  const part = event.target.closest?.("[data-value], [data-weights]");
  for (const field of part?.querySelectorAll("textarea, input") ?? []) field.dataset.touched = "yes";
  if (part?.matches("[data-value]")) checkValue(part);
  if (part?.matches("[data-weights]")) checkWeights(part);
  if (event.target.matches?.("[data-when]")) translate(event.target);
});

/** Keep a form from being sent while this is wrong with a field of it, and say so beside it. */
function say(part, field, problem) {
  const line = part.querySelector("[data-said]");
  line.textContent = problem;
  line.hidden = problem === "";
  field.setCustomValidity(problem);
  // What the server has refused stays marked until it is typed anew.
  if (problem || field.dataset.touched) field.setAttribute("aria-invalid", String(problem !== ""));
}

function checkValue(part) {
  const field = part.querySelector("textarea");
  const kind = part.querySelector("[name=kind]:checked")?.value;
  field.inputMode = kind === "number" ? "numeric" : "text";
  say(part, field, problemOf(kind, field.value));
}

function problemOf(kind, text) {
  if (kind === "number") {
    const isWhole = /^\s*[+-]?\d{1,10}\s*$/.test(text);
    const isFit = isWhole && Number(text) >= INTEGERS[0] && Number(text) <= INTEGERS[1];
    return isFit ? "" : "A whole number between −2,147,483,648 and 2,147,483,647.";
  }
  if (kind === "json") {
    try {
      JSON.parse(text);
    } catch (error) {
      return `This is not JSON: ${error.message}`;
    }
  }
  return "";
}

function checkWeights(part) {
  const fields = [...part.querySelectorAll("input")];
  const numbers = fields.map((field) => Number(field.value.trim() || NaN));
  const left = 100 - numbers.reduce((sum, number) => sum + (number || 0), 0);
  const rest = Math.round(left * 1e6) / 1e6;
  const isNumber = numbers.every((number) => number >= 0 && number <= 100);
  let problem = isNumber ? "" : "Each is a number between 0 and 100.";
  if (rest < 0) problem = `Together ${100 - rest} %, which is more than everybody.`;
  part.querySelector("[data-control]").textContent = rest;
  part.classList.toggle("over", rest < 0);
  for (const field of fields) say(part, field, problem);
}

/** What is typed is the time of the place where the browser is; what is sent is UTC. */
function translate(input) {
  const field = input.closest(".field");
  const utc = field.querySelector("[name=when_utc]");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  field.querySelector("[data-zone]").textContent = zone ? `your time (${zone})` : "your time";
  const line = field.querySelector("[data-said]");
  line.dataset.text ??= line.textContent;
  const moment = new Date(input.value);
  const isTime = input.value !== "" && !Number.isNaN(moment.getTime());
  utc.value = isTime ? moment.toISOString() : "";
  line.textContent = isTime ? `${utc.value.slice(0, 16).replace("T", " ")} UTC.` : line.dataset.text;
}

// A field that a check refuses may be in a part that is closed: the browser could not show why it does not send.
document.addEventListener("invalid", (event) => {
  const details = event.target.closest?.("details:not([open])");
  if (details) details.open = true;
}, true);

// Dragging, with a mouse, a pen or a finger. The keyboard has the buttons, which move by one place.
let dragged = null;
let before = "";

const order = (list) => [...list.children].map((row) => row.dataset.place).join(",");

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest?.("[data-grip]");
  if (!grip || event.button !== 0) return;
  event.preventDefault();
  dragged = grip.closest("[data-place]");
  before = order(dragged.parentElement);
  dragged.classList.add("dragged");
  dragged.parentElement.setPointerCapture(event.pointerId);
});

document.addEventListener("pointermove", (event) => {
  if (!dragged) return;
  const list = dragged.parentElement;
  const others = [...list.children].filter((row) => row !== dragged);
  const next = others.find((row) => event.clientY < middle(row)) ?? null;
  if (dragged.nextElementSibling !== next) list.insertBefore(dragged, next);
});

function middle(row) {
  const { top, height } = row.getBoundingClientRect();
  return top + height / 2;
}

for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, (event) => {
    if (!dragged) return;
    const list = dragged.parentElement;
    dragged.classList.remove("dragged");
    dragged = null;
    if (order(list) === before) return;
    const form = document.getElementById("order");
    form.elements.order.value = event.type === "pointerup" ? order(list) : before;
    form.requestSubmit();
  });
}

// Whoever has moved an override by the keyboard may want to move it on: the button keeps the focus, whatever is swapped.
let moved = "";

document.addEventListener("submit", (event) => {
  moved = event.target.matches(".moves") ? (event.submitter?.id ?? "") : "";
});
document.addEventListener("focusin", (event) => {
  if (event.target.id !== moved) moved = "";
});
document.addEventListener("htmx:afterSettle", () => {
  if (moved && document.activeElement === document.body) document.getElementById(moved)?.focus();
});

// The first cannot go up and the last cannot go down. They stay where the focus can be.
document.addEventListener("click", (event) => {
  if (event.target.closest?.("[aria-disabled=true]")) event.preventDefault();
});

document.addEventListener("htmx:afterSettle", setUp);
setUp();
