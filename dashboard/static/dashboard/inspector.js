// The Live page: refreshes its panel, and is a client of the environment's stream itself ("Try it").

const EVERY_MS = 2000;
const WRITTEN_MS = 1200;
const SHOWN = 50;

let pane = null;
let source = null;
let newest = 0;
let asked = 0;
// How far this clock is ahead of the server's, and how sure that is; null until the server has said its time.
let clock = null;

const panel = () => document.querySelector("[data-inspection]");
const part = (name) => pane.querySelector(`[data-try-${name}]`);

function refresh() {
  if (panel() && window.htmx) window.htmx.trigger(panel(), "inspect");
}

/** Called on each page that is shown: begin on a Live page, and end when it has gone. */
function enter() {
  const found = document.querySelector("[data-try]");
  if (found === pane) return;
  disconnect();
  pane = found;
  if (!pane) return;
  part("none").hidden = false;
  connect();
}

function connect() {
  source = new EventSource(pane.dataset.url);
  say("warn", "Connecting");
  source.addEventListener("open", () => {
    say("on", "Connected");
    refresh();
  });
  source.addEventListener("error", () => say("warn", "Reconnecting"));
  for (const name of ["environment_updated", "message"]) source.addEventListener(name, receive);
}

function disconnect() {
  source?.close();
  source = null;
  if (pane?.isConnected) say("", "Disconnected");
}

function say(kind, text) {
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
  while (part("events").children.length > SHOWN) part("events").lastChild.remove();
  refresh();
  // What became of the event is written down up to a second later.
  setTimeout(refresh, WRITTEN_MS);
}

/** From the change to here, where clocks can be compared. A stream begins with an old event, of which that says nothing. */
function latency(event, now) {
  let changed;
  try {
    changed = Number(JSON.parse(event.data).updated_at) * 1000;
  } catch {
    return "";
  }
  if (!Number.isFinite(changed)) return "";
  if (changed === newest) return ", said once more";
  newest = changed;
  if (clock === null) return "";
  const took = now - clock.ahead - changed;
  if (took > 60_000) return ", an event of before";
  return `, ${Math.max(0, Math.round(took))} ms after the change (± ${Math.ceil(clock.unsure)} ms)`;
}

document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-try-connect]") && !source) connect();
  if (event.target.closest?.("[data-try-disconnect]")) disconnect();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target === panel()) asked = Date.now();
});

document.addEventListener("htmx:afterRequest", (event) => {
  // The element itself may have been replaced by what came.
  if (event.detail.requestConfig?.elt.id !== "inspection") return;
  const xhr = event.detail.xhr;
  const text = document.querySelector("[data-freshness]");
  if (text && xhr.status >= 200 && xhr.status < 300) text.textContent = "Up to date, and stays so by itself.";
  const told = Number(xhr.getResponseHeader("X-Server-Time"));
  const unsure = (Date.now() - asked) / 2;
  // The quickest answer says it best.
  if (told && (clock === null || unsure < clock.unsure)) clock = { ahead: asked + unsure - told, unsure };
});

// A failure must not take the place of what was shown, nor be told every two seconds.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target !== panel() || event.detail.xhr.status < 400) return;
  event.detail.shouldSwap = false;
  stale();
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  window.addEventListener(
    name,
    (event) => {
      if (event.target !== panel()) return;
      event.stopPropagation();
      stale();
    },
    true,
  );
}

function stale() {
  const text = document.querySelector("[data-freshness]");
  if (text) text.textContent = "Not up to date: the server does not answer. Trying again.";
}

// What somebody has unfolded stays so when the panel is replaced.
let unfolded = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target !== panel()) return;
  unfolded = [...panel().querySelectorAll("details[data-stays-open][open]")].map((each) => each.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of panel() ? unfolded : []) document.getElementById(id).open = true;
});

setInterval(() => document.visibilityState === "visible" && refresh(), EVERY_MS);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && refresh());
document.addEventListener("htmx:afterSettle", enter);
enter();
