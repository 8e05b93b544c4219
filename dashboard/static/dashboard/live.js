// A page of an environment listens to the environment's own stream, and shows anew what somebody else has changed.

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
    if (wanted) {
      source = new EventSource(wanted);
      source.addEventListener("environment_updated", (event) => {
        newest = Math.max(newest, JSON.parse(event.data).updated_at);
        catchUp();
      });
    }
  }
  catchUp();
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

function isBeingEdited() {
  const fields = main().querySelectorAll("form[data-edit] :is(input, textarea, select)");
  const isOpen = document.querySelector("dialog[open]") !== null;
  return isOpen || [...fields].some((field) => field === document.activeElement || isChanged(field));
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
