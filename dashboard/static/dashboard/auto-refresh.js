// Reloads a page of an environment when another user has changed a flag. It receives the environment's SSE stream.

// Delay after a failure, which is a restart of the server in most cases.
const RETRY_MS = 5000;

let source = null;
let url = null;
let newest = 0;
let pendingRequests = 0;

const main = () => document.getElementById("main");
const shownVersion = () => Number(main()?.dataset.version ?? 0);

/** Connect to the stream of the current page, if it has one. Called after each change of the page. */
export function followStream() {
  const pageUrl = main()?.dataset.stream ?? null;
  if (pageUrl !== url) {
    source?.close();
    [source, url, newest] = [null, pageUrl, 0];
    if (pageUrl) connect();
  }
  reloadIfOutdated();
}

function connect() {
  const opened = new EventSource(url);
  source = opened;
  opened.addEventListener("environment_updated", (event) => {
    newest = Math.max(newest, JSON.parse(event.data).updated_at);
    reloadIfOutdated();
  });
  // A browser reconnects by itself, unless a proxy has responded with an error.
  opened.addEventListener("error", () => {
    if (opened.readyState === EventSource.CLOSED) setTimeout(() => source === opened && connect(), RETRY_MS);
  });
}

function reloadIfOutdated() {
  // A pending request may return the newest state: check again after it.
  if (newest <= shownVersion() || pendingRequests > 0) return;
  if (isBeingEdited()) {
    offerReload();
    return;
  }
  const settings = { target: "#main", select: "#main", swap: "outerHTML show:none" };
  window.htmx.ajax("GET", window.location.href, settings);
}

/** Whether a dialog is open, a field of an edit form has the focus, or a field was changed. A page rendered in response
 * to a form (data-submitted) contains the user's input as its original content. */
function isBeingEdited() {
  if (main().hasAttribute("data-submitted")) return true;
  const fields = [...main().querySelectorAll("form :is(input, textarea, select)")];
  const hasFocus = (field) => field === document.activeElement && field.closest("form[data-edit]");
  return document.querySelector("dialog[open]") !== null || fields.some((field) => hasFocus(field) || isChanged(field));
}

function isChanged(field) {
  if (field.type === "hidden") return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.tagName === "SELECT") return [...field.options].some((option) => option.selected !== option.defaultSelected);
  return field.value !== field.defaultValue;
}

/** Show a notice with a link that reloads the page. */
function offerReload() {
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
  pendingRequests += 1;
});
document.addEventListener("htmx:afterRequest", () => {
  pendingRequests = Math.max(0, pendingRequests - 1);
});

// The user has not requested this reload: a server error must not replace the page, nor may the new page replace input
// that the user has begun meanwhile.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target !== main()) return;
  const hasFailed = event.detail.xhr.status >= 500;
  if (hasFailed) setTimeout(reloadIfOutdated, RETRY_MS);
  else if (isBeingEdited()) offerReload();
  else return;
  event.detail.shouldSwap = false;
});
