// The pages of one feature: validation while typing, times in the browser's time zone, and reordering of overrides by
// dragging. Without JavaScript the server validates, times are UTC, and buttons reorder.

const INTEGER_RANGE = [-2147483648, 2147483647];

function initialize() {
  for (const form of document.querySelectorAll("form[data-state]")) {
    for (const part of form.querySelectorAll("[data-value]")) checkValue(part);
    for (const part of form.querySelectorAll("[data-weights]")) checkWeights(part);
    for (const input of form.querySelectorAll("[data-when]")) convertToUtc(input);
  }
}

document.addEventListener("input", (event) => {
  const part = event.target.closest?.("[data-value], [data-weights]");
  for (const field of part?.querySelectorAll("textarea, input") ?? []) field.dataset.touched = "yes";
  if (part?.matches("[data-value]")) checkValue(part);
  if (part?.matches("[data-weights]")) checkWeights(part);
  if (event.target.matches?.("[data-when]")) convertToUtc(event.target);
});

/** Show the problem next to the field and block the form; "" clears both. */
function setProblem(part, field, problem) {
  const line = part.querySelector("[data-message]");
  line.textContent = problem;
  line.hidden = problem === "";
  field.setCustomValidity(problem);
  // A field that the server has rejected stays marked until the user changes it.
  if (problem || field.dataset.touched) field.setAttribute("aria-invalid", String(problem !== ""));
}

function checkValue(part) {
  const field = part.querySelector("textarea");
  const kind = part.querySelector("[name=kind]:checked")?.value;
  field.inputMode = kind === "number" ? "numeric" : "text";
  setProblem(part, field, validate(kind, field.value));
}

function validate(kind, text) {
  if (kind === "number") {
    const isWhole = /^\s*[+-]?\d{1,10}\s*$/.test(text);
    const isInRange = isWhole && Number(text) >= INTEGER_RANGE[0] && Number(text) <= INTEGER_RANGE[1];
    return isInRange ? "" : "A whole number between −2,147,483,648 and 2,147,483,647.";
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
  const remaining = 100 - numbers.reduce((sum, number) => sum + (number || 0), 0);
  const control = Math.round(remaining * 1e6) / 1e6;
  const isNumber = numbers.every((number) => number >= 0 && number <= 100);
  let problem = isNumber ? "" : "Each is a number between 0 and 100.";
  if (control < 0) problem = `Together ${100 - control} %, which is more than everybody.`;
  part.querySelector("[data-control]").textContent = control;
  part.classList.toggle("over", control < 0);
  for (const field of fields) setProblem(part, field, problem);
}

/** Convert the typed local time to UTC in the hidden field. */
function convertToUtc(input) {
  const field = input.closest(".field");
  const utc = field.querySelector("[name=when_utc]");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  field.querySelector("[data-zone]").textContent = zone ? `your time (${zone})` : "your time";
  const line = field.querySelector("[data-message]");
  line.dataset.text ??= line.textContent;
  const moment = new Date(input.value);
  const isTime = input.value !== "" && !Number.isNaN(moment.getTime());
  utc.value = isTime ? moment.toISOString() : "";
  line.textContent = isTime ? `${utc.value.slice(0, 16).replace("T", " ")} UTC.` : line.dataset.text;
}

// Opens the closed <details> of an invalid field, where the browser could not show its message.
document.addEventListener("invalid", (event) => {
  const details = event.target.closest?.("details:not([open])");
  if (details) details.open = true;
}, true);

// Dragging by pointer. Keyboard users have buttons that move by one position.
let dragged = null;
let orderBefore = "";

const order = (list) => [...list.children].map((row) => row.dataset.featureSegment).join(",");

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest?.("[data-grip]");
  if (!grip || event.button !== 0) return;
  event.preventDefault();
  dragged = grip.closest("[data-feature-segment]");
  orderBefore = order(dragged.parentElement);
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
    if (order(list) === orderBefore) return;
    const form = document.getElementById("order");
    form.elements.order.value = event.type === "pointerup" ? order(list) : orderBefore;
    form.requestSubmit();
  });
}

// Keeps the focus on the button that moved an override, after htmx has replaced the page.
let focusedId = "";

document.addEventListener("submit", (event) => {
  focusedId = event.target.matches(".moves") ? (event.submitter?.id ?? "") : "";
});
document.addEventListener("focusin", (event) => {
  if (event.target.id !== focusedId) focusedId = "";
});
document.addEventListener("htmx:afterSettle", () => {
  if (focusedId && document.activeElement === document.body) document.getElementById(focusedId)?.focus();
});

// The buttons of the first and last override are aria-disabled instead of disabled, so that they keep the focus.
document.addEventListener("click", (event) => {
  if (event.target.closest?.("[aria-disabled=true]")) event.preventDefault();
});

document.addEventListener("htmx:afterSettle", initialize);
initialize();
