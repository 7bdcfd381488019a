// What the pages do beyond links and forms: times in the reader's zone, live rows, keys, copying.

const MAX_ROWS = 200;

const CLOCK = new Intl.DateTimeFormat(undefined, {hour: "2-digit", minute: "2-digit", second: "2-digit"});
const DATE = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const FULL = new Intl.DateTimeFormat(undefined, {dateStyle: "full", timeStyle: "long"});
const YEAR = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "medium"});

function find(id) {
  return document.getElementById(id);
}

function showLocalTimes(root) {
  const now = new Date();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const when = new Date(time.dateTime);
    if (Number.isNaN(when.getTime())) continue;
    const isToday = when.toDateString() === now.toDateString();
    const form = isToday ? CLOCK : when.getFullYear() === now.getFullYear() ? DATE : YEAR;
    time.textContent = form.format(when);
    time.title = FULL.format(when);
  }
}

function say(text) {
  const news = find("news");
  if (news) news.textContent = text;
}

// Live rows

class Live {
  constructor(button, rows) {
    this.button = button;
    this.rows = rows;
    this.after = button.dataset.after;
    this.wanted = true;
    this.events = null;
    button.hidden = false;
    button.addEventListener("click", () => this.toggle());
    document.addEventListener("visibilitychange", () => this.follow());
    window.addEventListener("pagehide", () => this.close());
    window.addEventListener("pageshow", () => this.follow());
    this.follow();
  }

  toggle() {
    this.wanted = !this.wanted;
    this.button.textContent = this.wanted ? "Live" : "Paused";
    this.button.setAttribute("aria-pressed", String(this.wanted));
    this.follow();
  }

  follow() {
    if (this.wanted && !document.hidden) this.open();
    else this.close();
  }

  open() {
    if (this.events) return;
    const url = new URL(this.button.dataset.url, location.href);
    url.searchParams.set("after", this.after);
    this.events = new EventSource(url);
    this.events.addEventListener("message", event => this.add(event));
    this.events.addEventListener("error", () => this.noteError());
    this.events.addEventListener("open", () => {
      if (this.wanted) this.button.textContent = "Live";
    });
  }

  close() {
    if (this.events) this.events.close();
    this.events = null;
  }

  noteError() {
    this.button.textContent = "Connecting";
    if (this.events && this.events.readyState === EventSource.CLOSED) {
      // The server refused: too many pages are live, or the session is over.
      this.close();
      this.wanted = false;
      this.button.textContent = "Paused";
      this.button.setAttribute("aria-pressed", "false");
    }
  }

  add(event) {
    const news = JSON.parse(event.data);
    const template = document.createElement("template");
    template.innerHTML = news.html;
    showLocalTimes(template.content);
    if (news.gap) this.rows.replaceChildren();
    for (const row of [...template.content.querySelectorAll("tr")].reverse()) this.place(row);
    while (this.rows.children.length > MAX_ROWS) this.rows.lastElementChild.remove();
    if (Number(event.lastEventId) > Number(this.after)) this.after = event.lastEventId;
    const empty = find("empty");
    if (empty) empty.hidden = true;
    this.rows.closest(".sheet").hidden = false;
    say(`${news.count} new ${news.count === 1 ? "report" : "reports"}`);
  }

  // A search finds reports a little later, so a row may belong below others.
  place(row) {
    const id = Number(row.dataset.id);
    row.classList.add("new");
    for (const one of this.rows.children) {
      const other = Number(one.dataset.id);
      if (other === id) return;
      if (other < id) {
        one.before(row);
        return;
      }
    }
    this.rows.append(row);
  }
}

// Copying

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without https, except on this machine, there is no clipboard but this one.
  const area = document.body.appendChild(document.createElement("textarea"));
  area.value = text;
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  if (!isDone) throw new Error("not copied");
}

async function textOf(button) {
  if (button.dataset.copy) return find(button.dataset.copy).textContent;
  const answer = await fetch(button.dataset.copyUrl);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.text();
}

async function copyFor(button) {
  const name = button.dataset.name ?? button.textContent;
  button.dataset.name = name;
  try {
    await copy(await textOf(button));
    button.textContent = "Copied";
  } catch {
    button.textContent = "Could not be copied";
  }
  setTimeout(() => { button.textContent = name; }, 1500);
}

// Keys

const KEYS = [
  ["j", "next report"],
  ["k", "previous report"],
  ["Enter", "open the chosen report"],
  ["/", "search"],
  ["?", "these keys"],
];

function rowsOfList() {
  return [...document.querySelectorAll("#rows > tr")];
}

function choose(step) {
  const rows = rowsOfList();
  if (!rows.length) return false;
  const at = rows.findIndex(row => row.classList.contains("chosen"));
  const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  for (const row of rows) row.classList.toggle("chosen", row === next);
  next.querySelector("a.open").focus({preventScroll: true});
  next.scrollIntoView({block: "nearest"});
  return true;
}

function step(key) {
  const link = document.querySelector(`a[data-key="${key}"]`);
  if (link) link.click();
  return Boolean(link) || choose(key === "j" ? 1 : -1);
}

function showKeys() {
  let dialog = document.querySelector("dialog.keys");
  if (!dialog) {
    dialog = document.body.appendChild(document.createElement("dialog"));
    dialog.className = "keys";
    dialog.setAttribute("aria-labelledby", "keys");
    const title = dialog.appendChild(document.createElement("h2"));
    title.id = "keys";
    title.textContent = "Keys";
    const list = dialog.appendChild(document.createElement("dl"));
    for (const [key, name] of [...KEYS, ...extraKeys()]) {
      const term = list.appendChild(document.createElement("dt"));
      term.appendChild(document.createElement("kbd")).textContent = key;
      list.appendChild(document.createElement("dd")).textContent = name;
    }
    const button = dialog.appendChild(document.createElement("button"));
    button.textContent = "Close";
    button.addEventListener("click", () => dialog.close());
  }
  dialog.showModal();
  return true;
}

// Forms and links may name a key of their own: data-key, and data-key-name for the list of keys.
function extraKeys() {
  return [...document.querySelectorAll("[data-key-name]")].map(
    one => [one.dataset.key, one.dataset.keyName]);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest("input, textarea, select, dialog, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (act(event.key)) event.preventDefault();
}

function act(key) {
  if (key === "j" || key === "k") return step(key);
  if (key === "?") return showKeys();
  if (key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search) search.select();
    else location.assign("/");
    return true;
  }
  const own = [...document.querySelectorAll("[data-key]")].find(one => one.dataset.key === key);
  if (own) own.click();
  return Boolean(own);
}

showLocalTimes(document);
document.addEventListener("keydown", onKey);
for (const one of document.querySelectorAll("[data-needs-script]")) one.hidden = false;
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", () => copyFor(button));
}
if (find("live")) new Live(find("live"), find("rows"));
