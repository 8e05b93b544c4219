// A page of an environment listens to the environment's own stream, and shows anew what somebody else has changed.

// After a failure, which is the server's restart in most cases.
const AGAIN_MS = 5000;

let source = null;
let url = null;
let newest = 0;
let busy = 0;

const main = () => document.getElementById("main");
const shown = () => Number(main()?.dataset.version ?? 0);

/** Listen to the stream of the page that is shown, if it has one. Called after each change of the page. */
export function follow() {
  const wanted = main()?.dataset.stream ?? null;
  if (wanted !== url) {
    source?.close();
    [source, url, newest] = [null, wanted, 0];
    if (wanted) listen();
  }
  catchUp();
}

function listen() {
  const opened = new EventSource(url);
  source = opened;
  opened.addEventListener("environment_updated", (event) => {
    newest = Math.max(newest, JSON.parse(event.data).updated_at);
    catchUp();
  });
  // A browser connects anew by itself, but gives up for good where a proxy answers in the server's place.
  opened.addEventListener("error", () => {
    if (opened.readyState === EventSource.CLOSED) setTimeout(() => source === opened && listen(), AGAIN_MS);
  });
}

function catchUp() {
  // What is under way may bring the newest state along, and is looked at when it is here.
  if (newest <= shown() || busy > 0) return;
  if (isBeingEdited()) {
    offer();
    return;
  }
  const settings = { target: "#main", select: "#main", swap: "outerHTML show:none" };
  window.htmx.ajax("GET", window.location.href, settings);
}

/** Whether somebody is asked something, is in a form that changes things, or has typed anything at all. A page that
 * answers a form (data-typed) has what was typed as the forms' own content. */
function isBeingEdited() {
  if (main().hasAttribute("data-typed")) return true;
  const fields = [...main().querySelectorAll("form :is(input, textarea, select)")];
  const isAt = (field) => field === document.activeElement && field.closest("form[data-edit]");
  return document.querySelector("dialog[open]") !== null || fields.some((field) => isAt(field) || isChanged(field));
}

function isChanged(field) {
  if (field.type === "hidden") return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.tagName === "SELECT") return [...field.options].some((option) => option.selected !== option.defaultSelected);
  return field.value !== field.defaultValue;
}

/** Somebody is at work here: say that there is something newer, and leave it to them. */
function offer() {
  if (document.getElementById("newer")) return;
  const line = document.createElement("p");
  line.id = "newer";
  line.className = "notice warn";
  line.setAttribute("role", "status");
  const link = document.createElement("a");
  link.href = window.location.href;
  link.textContent = "Show it";
  line.append("Somebody has changed a flag here meanwhile. ", link);
  main().prepend(line);
}

document.addEventListener("htmx:beforeRequest", () => {
  busy += 1;
});
document.addEventListener("htmx:afterRequest", () => {
  busy = Math.max(0, busy - 1);
});

// Nobody has asked for the page that comes: a failure of the server's must not take the place of what is shown, nor must
// anything take the place of what somebody has begun to type meanwhile.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target !== main()) return;
  const hasFailed = event.detail.xhr.status >= 500;
  if (hasFailed) setTimeout(catchUp, AGAIN_MS);
  else if (isBeingEdited()) offer();
  else return;
  event.detail.shouldSwap = false;
});
