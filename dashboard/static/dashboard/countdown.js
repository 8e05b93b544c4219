// Times that are to come count down, in the words that the server begins with (templatetags/moments.py).

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function left(seconds) {
  if (seconds < 1) return "now";
  if (seconds < MINUTE) return `in ${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `in ${Math.floor(seconds / MINUTE)} min ${Math.floor(seconds % MINUTE)} s`;
  if (seconds < DAY) return `in ${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / MINUTE)} min`;
  return `in ${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / HOUR)} h`;
}

function tick() {
  for (const time of document.querySelectorAll("time[data-countdown]")) {
    const text = left((Date.parse(time.dateTime) - Date.now()) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

setInterval(tick, 1000);
