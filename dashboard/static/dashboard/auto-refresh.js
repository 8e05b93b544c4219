// Reloads a page of an environment when another user has changed a flag. It receives the dashboard's own stream, which
// also has the versions that are raised while real-time updates are off.

// Delay after a failure, which is a restart of the server in most cases. It doubles up to the maximum: a stream that is
// refused because the session or the permission has ended is refused again.
const RETRY_MS = 5000;
const MAX_RETRY_MS = 80_000;

let source = null;
let next = null;
let retryMs = RETRY_MS;
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
    next?.close();
    [source, next, url, newest, retryMs] = [null, null, pageUrl, 0, RETRY_MS];
    if (pageUrl) source = open();
  }
  reloadIfOutdated();
}

function open() {
  const opened = new EventSource(url);
  opened.addEventListener("open", () => {
    retryMs = RETRY_MS;
    if (opened !== next) return;
    source.close();
    [source, next] = [opened, null];
  });
  opened.addEventListener("environment_updated", (event) => {
    newest = Math.max(newest, JSON.parse(event.data).updated_at);
    reloadIfOutdated();
    document.dispatchEvent(new Event("environment_updated"));
  });
  // The stream ends soon: the next one opens before.
  opened.addEventListener("reopen", () => {
    if (opened === source && next === null) next = open();
  });
  opened.addEventListener("error", () => {
    if (opened === next) {
      next.close();
      next = null;
    }
    // A browser reconnects by itself, unless the response was an error.
    if (opened !== source || opened.readyState !== EventSource.CLOSED) return;
    setTimeout(() => {
      if (source === opened) source = open();
    }, retryMs);
    retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
  });
  return opened;
}

function reloadIfOutdated() {
  if (main()?.dataset.version === undefined) return;
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
