// What a page does beyond links and forms: it stays up to date, follows a turn, keeps drafts, and obeys keys.
"use strict";
const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
const store = { get: k => { try { return sessionStorage.getItem(k); } catch { return null; } }, set: (k, v) => { try { v ? sessionStorage.setItem(k, v) : sessionStorage.removeItem(k); } catch { /* no storage: drafts live as long as the page */ } } };

// Times: relative ones are kept fresh, and the exact one is shown in the reader's own time zone.
const STEPS = [[86400, "day"], [3600, "hour"], [60, "min"]];
function span(seconds) {
  for (const [size, unit] of STEPS) if (seconds >= size) { const n = Math.floor(seconds / size); return `${n.toLocaleString("en")} ${unit}${unit === "min" || n === 1 ? "" : "s"}`; }
  return "";
}
function freshen(root = document) {
  for (const time of $$("time[datetime]", root)) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    const exact = at.toLocaleString("sv-SE", { timeZoneName: "short" });
    time.title = exact;
    if ("exact" in time.dataset) { time.textContent = exact; continue; }
    const seconds = (Date.now() - at) / 1000;
    time.textContent = seconds >= 0 ? (span(seconds) ? `${span(seconds)} ago` : "just now") : `in ${span(30 - seconds) || "moments"}`;
  }
}

// Parts of a page with data-live are fetched again when something is new; not where somebody writes or has chosen something.
let paused = store.get("paused") === "yes", missed = false, fetching = false, again = false;
const busy = part => part.contains(document.activeElement) && document.activeElement.matches("input,textarea,select,details") || $("[data-dirty]", part) || $("form[data-sent]", part);
async function refresh(force = false) {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Console": "part" }, redirect: "error" });
    if (answer.status === 401) { over(); return; }
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const range of $$("[data-scrub]")) { const other = fresh.getElementById(range.id); if (other) { range.max = other.max; if (range !== document.activeElement) range.value = other.value; } }
    for (const part of $$("[data-live]")) {
      const other = part.id && fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.innerHTML) continue;
      if (busy(part) && !force) { offer(); continue; }
      const open = new Set($$("details[open][id]", part).map(d => d.id)), chosen = $(".now", part)?.id, focused = document.activeElement?.id;
      part.replaceChildren(...[...other.childNodes].map(node => document.adoptNode(node)));
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      if (chosen) document.getElementById(chosen)?.classList.add("now");
      if (focused && !document.activeElement?.id) document.getElementById(focused)?.focus();
      prepare(part);
    }
  } catch { /* the server is away: the stream says when it is back */ } finally {
    fetching = false;
    if (again) { again = false; refresh(); }
  }
}
function over() {
  const said = $("#live-said");
  if (!said || said.dataset.over) return;
  said.dataset.over = "yes";
  said.className = "note bad toast";
  said.textContent = "Your session is over. What you have typed is kept. ";
  const link = document.createElement("a");
  link.href = `/console/sign-in?why=over&next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in again";
  said.append(link);
  said.hidden = false;
}
function offer() {
  const said = $("#live-said");
  if (!said || said.dataset.over) return;
  said.className = "note toast";
  said.textContent = "There is something new. ";
  const button = document.createElement("button");
  button.className = "plain";
  button.textContent = "Show it";
  button.onclick = () => { said.hidden = true; refresh(true); };
  said.append(button);
  said.hidden = false;
}
function news(event) {
  const { waiting, alerts } = JSON.parse(event.data);
  for (const [name, count] of Object.entries({ approvals: waiting, alerts })) for (const badge of $$(`[data-count=${name}]`)) badge.textContent = count || "";
  document.title = document.title.replace(/^\(\d+\) /, "").replace(/^/, waiting ? `(${waiting}) ` : "");
  if (paused) { missed = true; offer(); } else if (event.type === "news" || missed) { missed = false; refresh(); }
}
let stream, lost = false;
function listen() {
  if (!document.body.dataset.stream) return;
  const watched = $("[data-watch]")?.dataset;
  stream = new EventSource(`/console/live${watched ? `?${new URLSearchParams({ watch: watched.watch, seen: watched.seen })}` : ""}`);
  stream.addEventListener("hello", event => { if (lost || (!paused && event.lastEventId !== document.body.dataset.mark)) { lost = false; state("live"); refresh(); } news(event); });
  stream.addEventListener("news", news);
  stream.addEventListener("over", () => { stream.close(); over(); });
  stream.onopen = () => state(paused ? "paused" : "live");
  stream.onerror = () => { lost = true; state("not connected"); if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 3000); };
}
function state(text) { const button = $("#pause"); if (button) { button.textContent = text === "live" ? "● Live" : text === "paused" ? "‖ Paused" : "○ Reconnecting"; button.dataset.state = text; button.setAttribute("aria-pressed", String(paused)); } }

// A turn: its text as it comes, then the page itself, which shows what is stored.
function follow() {
  const box = $("#turn-stream[data-url]");
  if (!box || box.dataset.open) return;
  box.dataset.open = "yes";
  const text = $(".said", box), steps = $(".steps", box), source = new EventSource(box.dataset.url);
  const end = () => { source.close(); setTimeout(() => { delete box.dataset.open; refresh(true); }, 60); };
  let final = 0;
  source.addEventListener("token", e => { text.textContent += JSON.parse(e.data).text; stick(); });
  source.addEventListener("restart", () => { text.textContent = text.textContent.slice(0, final); });
  source.addEventListener("tool", e => {
    const { state, tool, sql } = JSON.parse(e.data);
    if (state === "finished") { const last = $(`li[data-open]`, steps); if (last) { delete last.dataset.open; last.append(" ✓"); } return; }
    final = text.textContent.length;
    const item = document.createElement("li"), code = document.createElement("code");
    item.dataset.open = "yes"; code.textContent = sql || tool; item.append("Running ", code); steps.append(item); stick();
  });
  for (const name of ["done", "answer", "approval"]) source.addEventListener(name, end);
  source.addEventListener("failed", e => { source.close(); $(".wait", box)?.remove(); text.className = "said note bad"; text.textContent = JSON.parse(e.data).detail; });
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) end(); };
}
function stick() { const near = innerHeight + scrollY > document.body.scrollHeight - 200; if (near) scrollTo(0, document.body.scrollHeight); }

// Drafts survive a reload and a lost session, until what they were for is sent.
function prepare(root = document) {
  freshen(root);
  for (const field of $$("[data-draft]", root)) {
    const key = `draft:${location.pathname}:${field.dataset.draft}`, kept = store.get(key);
    if (kept !== null && !field.dataset.ready) { if (field.defaultValue !== kept) { field.value = kept; field.dataset.dirty = "yes"; } }
    field.dataset.ready = "yes";
    field.oninput = () => { const changed = field.value !== field.defaultValue; changed ? field.dataset.dirty = "yes" : delete field.dataset.dirty; store.set(key, changed ? field.value : ""); };
  }
  for (const box of $$("[data-indeterminate]", root)) box.indeterminate = true;
  follow();
}
document.addEventListener("submit", event => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  store.set("sent", JSON.stringify($$("[data-draft]", form).map(f => `draft:${location.pathname}:${f.dataset.draft}`)));
  const scope = form.closest("[data-once]") || form;
  setTimeout(() => { for (const b of $$("button", scope)) b.disabled = true; if (event.submitter) event.submitter.textContent = "Processing …"; });
});
addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
// What was sent and taken: the page that came back says so. What was not is still a draft.
if (document.body.dataset.taken) { for (const key of JSON.parse(store.get("sent") || "[]")) store.set(key, ""); }
store.set("sent", "");

// Keys. They are off while somebody types.
const typing = e => e.target.matches?.("input,textarea,select,[contenteditable]");
const items = () => $$("[data-item]").filter(i => i.offsetParent);
function choose(step) {
  const all = items(), now = all.findIndex(i => i.classList.contains("now"));
  const next = all[Math.max(0, Math.min(all.length - 1, now < 0 ? 0 : now + step))];
  if (!next) return;
  all[now]?.classList.remove("now");
  next.classList.add("now");
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}
const chosen = () => $("[data-item].now") || (items().length === 1 ? items()[0] : null);
function act(name) {
  const target = chosen() && $(`[data-key="${name}"]`, chosen());
  if (!target) return false;
  if (target.matches("details,summary")) { const d = target.closest("details"); d.open = !d.open; if (d.open) $("input:not([type=hidden]),textarea,select", d)?.focus(); }
  // Somebody types a text that no field takes, chose nothing, or is about to say something else: that approves nothing.
  else if (name === "a" && (Date.now() - stray < 1000 || !$("[data-item].now") || $("details[open] form", chosen()))) return false;
  else target.click();
  return true;
}
let g = 0, stray = 0;
document.addEventListener("keydown", event => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); palette(); return; }
  if (event.key === "Escape" && typing(event)) { event.target.blur(); return; }
  if (typing(event)) { if (event.key === "Enter" && event.target.matches("[data-enter]") && !event.shiftKey && !event.isComposing) { event.preventDefault(); if (event.target.value.trim()) event.target.form.requestSubmit(); } return; }
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  if (g && Date.now() - g < 1500) { g = 0; const link = $(`[data-go="${CSS.escape(event.key)}"]`); if (link) { event.preventDefault(); link.click(); } return; }
  const key = event.key;
  if (key === "g") g = Date.now();
  else if (key === "?") $("#keys-help").showModal();
  else if (key === "j" || key === "k") choose(key === "j" ? 1 : -1);
  else if (key === "/") { const field = $("[data-search]"); if (!field) return; field.focus(); field.select(); }
  else if (key === "p") $("#pause")?.click();
  else if (key === "Enter" && event.target.matches("[data-item]")) act("open");
  else if (!act(key)) { if (key.length === 1) stray = Date.now(); return; }
  event.preventDefault();
});
function palette() {
  const dialog = $("#go-to"), field = $("input", dialog), list = $("ul", dialog);
  const links = $$("nav [data-go]").map(a => [a.dataset.name, a.href]);
  const show = () => {
    const words = field.value.trim().toLowerCase(), found = links.filter(([name]) => name.toLowerCase().includes(words));
    const number = /^#?(\d{1,18})$/.exec(words);
    if (number) found.push([`Approval ${number[1]}`, `/console/approvals/${number[1]}`], [`Execution ${number[1]}`, `/console/activity/${number[1]}`], [`Memory ${number[1]}`, `/console/memory/${number[1]}`]);
    if (words && !number) found.push([`Search memories for “${field.value.trim()}”`, `/console/memory?query=${encodeURIComponent(field.value.trim())}`]);
    list.replaceChildren(...found.slice(0, 12).map(([name, href]) => { const li = document.createElement("li"), a = document.createElement("a"); a.textContent = name; a.href = href; li.append(a); return li; }));
  };
  field.value = ""; field.oninput = show; show();
  field.onkeydown = e => { if (e.key === "Enter") { e.preventDefault(); $("a", list)?.click(); } else if (e.key === "ArrowDown") { e.preventDefault(); $("a", list)?.focus(); } };
  list.onkeydown = e => { const all = $$("a", list), at = all.indexOf(document.activeElement), step = { ArrowDown: 1, ArrowUp: -1 }[e.key]; if (step) { e.preventDefault(); (all[at + step] || field).focus(); } };
  dialog.showModal(); field.focus();
}
document.addEventListener("click", event => {
  const target = event.target.closest("[data-open],[data-close],[data-copy],#pause,.burger,[data-fit]");
  if (!target) return;
  if (target.dataset.open) target.dataset.open === "go-to" ? palette() : document.getElementById(target.dataset.open)?.showModal();
  else if ("close" in target.dataset) target.closest("dialog").close();
  else if (target.dataset.copy) navigator.clipboard?.writeText(target.dataset.copy).then(() => { target.textContent = "Copied"; });
  else if (target.id === "pause") { paused = !paused; store.set("paused", paused ? "yes" : ""); state(paused ? "paused" : "live"); if (!paused && missed) { missed = false; $("#live-said").hidden = true; refresh(); } }
  else if (target.matches(".burger")) { const open = target.closest(".side").classList.toggle("open"); target.setAttribute("aria-expanded", String(open)); }
});
// A choice in a list of choices takes effect at once.
document.addEventListener("change", event => { if (event.target.matches("[data-submit]")) event.target.form.requestSubmit(); });
// A form that is shown as it would be: what it says is sent while one types, and the parts that depend on it are shown anew.
let looking = 0, lookTimer;
async function look(form, url) {
  const mine = ++looking;
  try {
    const answer = await fetch(url, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { "X-Console": "part" }, redirect: "error" });
    if (answer.status === 401) { over(); return; }
    if (!answer.ok || mine !== looking) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of $$("[data-part]")) {
      const other = fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.innerHTML || part.contains(document.activeElement)) continue;
      part.replaceChildren(...[...other.childNodes].map(node => document.adoptNode(node)));
    }
    const was = fresh.querySelector("[name=does_was]"), now = form.elements.does_was;
    if (was && now) { now.value = was.value; const does = form.elements.does; if (document.activeElement !== does) does.value = was.value; }
  } catch { /* the server is away: storing the form says so */ }
}
document.addEventListener("input", event => {
  const place = event.target.closest("[data-look]");
  if (!place) return;
  event.target.form.dataset.unsent = "yes";
  clearTimeout(lookTimer);
  lookTimer = setTimeout(() => look(event.target.form, place.dataset.look), 350);
});
// What is typed there and not stored is not left without a question.
addEventListener("beforeunload", event => { if ($("form[data-unsent]:not([data-sent])")) event.preventDefault(); });
// A slider over events shows the moment that it stands at, which is in the address, too.
document.addEventListener("input", event => {
  if (!event.target.matches("[data-scrub]")) return;
  const url = new URL(location.href);
  url.searchParams.set("at", event.target.value);
  history.replaceState(history.state, "", url);
  refresh(true);
});
setInterval(freshen, 20000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) freshen(); });
prepare();
state(paused ? "paused" : "live");
listen();
