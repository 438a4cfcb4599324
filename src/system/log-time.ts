// The time in front of log lines, in the form that the option log_date_format gives: the directives of strftime(3) that
// say something about a point of time. Local time and English names, as in the reference's log.

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July"].concat([
  "August",
  "September",
  "October",
  "November",
  "December",
]);

const DIRECTIVES: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getFullYear()),
  y: (date) => padded(date.getFullYear() % 100),
  m: (date) => padded(date.getMonth() + 1),
  d: (date) => padded(date.getDate()),
  e: (date) => String(date.getDate()).padStart(2, " "),
  H: (date) => padded(date.getHours()),
  I: (date) => padded(date.getHours() % 12 || 12),
  M: (date) => padded(date.getMinutes()),
  S: (date) => padded(date.getSeconds()),
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  A: (date) => DAYS[date.getDay()] ?? "",
  a: (date) => (DAYS[date.getDay()] ?? "").slice(0, 3),
  B: (date) => MONTHS[date.getMonth()] ?? "",
  b: (date) => (MONTHS[date.getMonth()] ?? "").slice(0, 3),
  F: (date) => formatTime("%Y-%m-%d", date),
  T: (date) => formatTime("%H:%M:%S", date),
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  z: (date) => zone(date.getTimezoneOffset()),
  "%": () => "%",
};

/** Directives that are not known stay as they are written. */
export function formatTime(format: string, date: Date): string {
  return format.replace(/%(.)/gs, (written, letter: string) => DIRECTIVES[letter]?.(date) ?? written);
}

function padded(number: number): string {
  return String(number).padStart(2, "0");
}

/** `minutes` west of Greenwich, as JavaScript has it. */
function zone(minutes: number): string {
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${minutes > 0 ? "-" : "+"}${padded(hours)}${padded(rest)}`;
}
