// Counts down <time data-countdown> elements, in the format of templatetags/moments.py.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function timeLeft(seconds) {
  if (seconds < 1) return "now";
  if (seconds < MINUTE) return `in ${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `in ${Math.floor(seconds / MINUTE)} min ${Math.floor(seconds % MINUTE)} s`;
  if (seconds < DAY) return `in ${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / MINUTE)} min`;
  return `in ${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / HOUR)} h`;
}

function update() {
  for (const time of document.querySelectorAll("time[data-countdown]")) {
    const text = timeLeft((Date.parse(time.dateTime) - Date.now()) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

setInterval(update, 1000);
