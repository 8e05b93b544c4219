// The inspector page: refreshes its panel, and is a client of the environment's stream ("Try it").

const REFRESH_MS = 2000;
// The delivery of an event is recorded up to a second later.
const RECORDED_MS = 1200;
const MAX_EVENTS_SHOWN = 50;

let client = null;
let source = null;
let newest = 0;
let requestedAt = 0;
// Offset of this clock to the server's, and its uncertainty, in ms; null before the first response.
let clock = null;

const panel = () => document.querySelector("[data-inspection]");
const part = (name) => client.querySelector(`[data-try-${name}]`);

function refresh() {
  if (panel() && window.htmx) window.htmx.trigger(panel(), "inspect");
}

/** Called after each change of the page: show the button on an inspector page, disconnect on others. */
function initialize() {
  const found = document.querySelector("[data-try]");
  if (found === client) return;
  disconnect();
  client = found;
  if (!client) return;
  setState("", "Disconnected");
}

function connect() {
  source = new EventSource(client.dataset.url);
  part("none").hidden = part("events").children.length > 0;
  setState("warn", "Connecting");
  source.addEventListener("open", () => {
    setState("on", "Connected");
    refresh();
  });
  source.addEventListener("error", () => setState("warn", "Reconnecting"));
  for (const name of ["environment_updated", "message"]) source.addEventListener(name, receive);
}

function disconnect() {
  source?.close();
  source = null;
  if (client?.isConnected) setState("", "Disconnected");
}

function setState(kind, text) {
  part("state").className = `state ${kind}`;
  part("state").textContent = text;
  part("connect").hidden = source !== null;
  part("disconnect").hidden = source === null;
}

function receive(event) {
  const now = Date.now();
  const item = document.createElement("li");
  const about = document.createElement("p");
  about.textContent = `${new Date(now).toISOString().slice(11, 23)} UTC${latency(event, now)}`;
  const raw = document.createElement("pre");
  const lines = [`event: ${event.type}`, ...event.data.split("\n").map((line) => `data: ${line}`)];
  if (event.lastEventId) lines.push(`id: ${event.lastEventId}`);
  raw.textContent = lines.join("\n");
  item.append(about, raw);
  part("none").hidden = true;
  part("events").prepend(item);
  while (part("events").children.length > MAX_EVENTS_SHOWN) part("events").lastChild.remove();
  refresh();
  setTimeout(refresh, RECORDED_MS);
}

/** Time from the change to its receipt, if the clocks can be compared. The first event of a stream may be old. */
function latency(event, now) {
  let changed;
  try {
    changed = Number(JSON.parse(event.data).updated_at) * 1000;
  } catch {
    return "";
  }
  if (!Number.isFinite(changed)) return "";
  if (changed === newest) return ", repeated";
  newest = changed;
  if (clock === null) return "";
  const took = now - clock.offset - changed;
  if (took > 60_000) return ", an earlier event";
  return `, ${Math.max(0, Math.round(took))} ms after the change (± ${Math.ceil(clock.uncertainty)} ms)`;
}

document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-try-connect]") && !source) connect();
  if (event.target.closest?.("[data-try-disconnect]")) disconnect();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target === panel()) requestedAt = Date.now();
});

document.addEventListener("htmx:afterRequest", (event) => {
  // The response may have replaced the element itself.
  if (event.detail.requestConfig?.elt.id !== "inspection") return;
  const xhr = event.detail.xhr;
  const text = document.querySelector("[data-freshness]");
  if (text && xhr.status >= 200 && xhr.status < 300) text.textContent = "Up to date, and stays so by itself.";
  const serverTime = Number(xhr.getResponseHeader("X-Server-Time"));
  const uncertainty = (Date.now() - requestedAt) / 2;
  // The fastest response has the smallest uncertainty.
  if (serverTime && (clock === null || uncertainty < clock.uncertainty)) {
    clock = { offset: requestedAt + uncertainty - serverTime, uncertainty };
  }
});

// An error must not replace the panel, nor show a message every two seconds.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target !== panel() || event.detail.xhr.status < 400) return;
  event.detail.shouldSwap = false;
  showStale();
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  window.addEventListener(
    name,
    (event) => {
      if (event.target !== panel()) return;
      event.stopPropagation();
      showStale();
    },
    true,
  );
}

function showStale() {
  const text = document.querySelector("[data-freshness]");
  if (text) text.textContent = "Not up to date: the server does not answer. Trying again.";
}

// <details data-keep-open> stay open when the panel is replaced.
let openIds = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target !== panel()) return;
  openIds = [...panel().querySelectorAll("details[data-keep-open][open]")].map((each) => each.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of panel() ? openIds : []) document.getElementById(id).open = true;
});

document.addEventListener("environment_updated", () => {
  refresh();
  setTimeout(refresh, RECORDED_MS);
});
setInterval(() => document.visibilityState === "visible" && refresh(), REFRESH_MS);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && refresh());
document.addEventListener("htmx:afterSettle", initialize);
initialize();
