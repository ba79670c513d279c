// Tables sort, filter and copy as CSV. Without this script the page is complete, tables in the order of their names.
const MANY_ROWS = 8;
const DASH = "–";
const collator = new Intl.Collator(document.documentElement.lang, { numeric: true });
const tools = document.getElementById("table-tools");
const dialog = document.getElementById("table-copy");
const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const plain = (element) => element.textContent.replace(/\s+/g, " ").trim();
const shownRows = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden);

// A numeric field as [value], [low, high] or [value, low, high]; [] if it is missing.
function numbers(cell) {
  const text = cell.dataset.sort ?? cell.textContent.replace(/\u202f/g, "").replace(DASH, " ");
  return text.split(/\s+/).filter(Boolean).map(Number);
}

function sort(table, heading) {
  const descending = heading.ariaSort === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.ariaSort = descending ? "descending" : "ascending";
  const numeric = heading.classList.contains("n");
  const key = (cell) => (numeric ? numbers(cell)[0] : (cell.dataset.sort ?? plain(cell)));
  const isMissing = (value) => value === undefined || value === "" || value === DASH;
  const compare = numeric ? (a, b) => a - b : collator.compare;
  const keyed = [...table.tBodies[0].rows].map((row) => [key(row.cells[heading.cellIndex]), row]);
  keyed.sort(([a], [b]) => {
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    return descending ? compare(b, a) : compare(a, b);
  });
  table.tBodies[0].replaceChildren(...keyed.map(([, row]) => row));
}

// Fields keep apart: no word may match across two of them.
const texts = new WeakMap();
function textOf(row) {
  if (!texts.has(row)) texts.set(row, [...row.cells].map(plain).join("\n").toLocaleLowerCase());
  return texts.get(row);
}

function filter(table, query, status) {
  const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  for (const row of table.tBodies[0].rows) row.hidden = !words.every((word) => textOf(row).includes(word));
  const counts = { n: shownRows(table).length, total: table.tBodies[0].rows.length };
  status.textContent = words.length ? filled(status.dataset.rows, counts) : "";
}

// One column of a table as columns of CSV: the ends of intervals, and what stands below or beside a number, apart.
function columns(heading, cells) {
  const name = plain(heading);
  if (!heading.classList.contains("n")) return [[name, ...cells.map(plain)]];
  const values = cells.map(numbers);
  const width = Math.max(1, ...values.map((parts) => parts.length));
  const [low, high, note] = ["low", "high", "note"].map((part) => filled(dialog.dataset[part], { heading: name }));
  const names = [[name], [low, high], [name, low, high]][width - 1];
  const why = cells.map((cell, row) => (values[row].length || plain(cell) === DASH ? "" : plain(cell)));
  const found = names.map((title, part) => [title, ...values.map((of, row) => of[part] ?? (part ? "" : why[row]))]);
  const notes = cells.map((cell, row) => values[row].length && cell.querySelector("small, .unit"));
  if (width === 3 || !notes.some((below) => below && plain(below) !== DASH)) return found;
  return [...found, [note, ...notes.map((below) => (below ? plain(below) : ""))]];
}

// RFC 4180; a spreadsheet must not take text for a formula.
function field(value) {
  const text = typeof value === "string" && /^[\p{Cf}\s]*[=+\-@＝＋－＠]/u.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv(table, rows) {
  const found = [...table.tHead.rows[0].cells].flatMap((heading, index) =>
    columns(heading, rows.map((row) => row.cells[index])),
  );
  return found[0].map((_, line) => found.map((column) => field(column[line])).join(",") + "\r\n").join("");
}

async function copy(table, status) {
  const rows = shownRows(table);
  const text = csv(table, rows);
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = filled(status.dataset.copied, { n: rows.length });
  } catch {
    const area = dialog.querySelector("textarea");
    area.value = text;
    dialog.showModal();
    area.select();
  }
}

dialog.querySelector("button").addEventListener("click", () => dialog.close());
for (const table of document.querySelectorAll("table[data-sortable]")) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, heading));
    heading.append(button);
  }
  const own = tools.content.cloneNode(true);
  const [label, input, button, status] = ["label", "input", "button", "[role=status]"].map((one) => own.querySelector(one));
  table.caption.id = `${table.id}-caption`;
  for (const control of [input, button]) control.setAttribute("aria-describedby", table.caption.id);
  label.hidden = table.tBodies[0].rows.length <= MANY_ROWS;
  input.addEventListener("input", () => filter(table, input.value, status));
  button.addEventListener("click", () => copy(table, status));
  table.parentElement.before(own);
}

// On a telephone the navigation scrolls sideways: a link of which a part is in sight is brought in as a whole.
document.querySelector("nav").addEventListener("focusin", (event) => {
  event.target.scrollIntoView({ behavior: "instant", block: "nearest", inline: "nearest" });
});
