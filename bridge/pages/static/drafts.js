// Keeps what is typed in the form of a post, with files that are not sent yet, until the server
// says that it is written. Nothing is restored unasked.
import { addRow, form, take, waiting } from "./desk.js";
import { all, put, queue, remove } from "./outbox.js";

const offers = document.getElementById("drafts");
const about = form.elements.url?.value || "new";
const OWN = ["csrf", "once", "was", "kind", "h", "url", "do", "post-status"];
const FILES = ["photo", "video", "audio"];
const SHOWN = 10;
let touched = false;
let sent = false;
let timer = 0;

const control = (name) => form.elements[name]?.value ?? "";
const keyOf = (once) => `draft:${about}:${once}`;
// Each open form holds a lock, so that no other tab offers what is still being typed here.
const hold = () => navigator.locks?.request(keyOf(control("once")), () => new Promise(() => {}));

function fieldsNow() {
  return [...new FormData(form)].filter(
    ([name, value]) => typeof value === "string" && !OWN.includes(name),
  );
}

const textOf = (fields) => fields
  .filter(([name]) => ["name", "content", "content[html]"].includes(name))
  .map(([, value]) => value).join(" ").trim();

// Whether anything of a new form is filled in. What is chosen from a list has a value at once.
function isEmpty() {
  const typed = [...form.querySelectorAll("textarea, input:not([type=hidden], [type=checkbox], [type=radio])")];
  return !typed.some((each) => each.value.trim()) && !form.querySelector(".attached > li");
}

async function save() {
  clearTimeout(timer);
  if (!touched) return;
  const key = keyOf(control("once"));
  if (about === "new" && isEmpty() && !waiting.size) {
    await remove("drafts", key);
    return;
  }
  await put("drafts", {
    key, about, sent, at: Date.now(), once: control("once"), was: control("was"),
    kind: control("kind"), fields: fieldsNow(), files: [...waiting],
  });
}

function changed() {
  touched = true;
  sent = false;
  clearTimeout(timer);
  timer = setTimeout(save, 500);
}

for (const name of ["input", "change"]) form.addEventListener(name, changed);
form.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.submitter?.formTarget) return;
  touched = sent = true;
  void save();
});
addEventListener("pagehide", () => void save());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") void save();
});

function fill(draft) {
  const values = new Map();
  for (const [name, value] of draft.fields) values.set(name, [...(values.get(name) ?? []), value]);
  for (const [name, given] of values) {
    const base = name.replace("[]", "");
    if (FILES.includes(base)) {
      const field = form.querySelector(`[data-files="${base}"]`);
      given.filter(Boolean).forEach((url, place) => {
        if (field) addRow(field, url, values.get(`mp-${base}-alt[${place}]`)?.[0] ?? "");
      });
      continue;
    }
    form.querySelectorAll(`[name="${CSS.escape(name)}"]`).forEach((each, place) => {
      if (["checkbox", "radio", "file"].includes(each.type)) return;
      each.value = given[place] ?? "";
      if (each.value && each.matches("textarea, input:not([type=hidden])")) {
        each.closest("details")?.setAttribute("open", "");
      }
    });
  }
  for (const each of form.querySelectorAll("[type=checkbox], [type=radio]")) {
    each.checked = values.get(each.name)?.includes(each.value) ?? false;
  }
  // The same form again, which is carried out once, and knows what the post was when it began.
  form.elements.once.value = draft.once;
  if (draft.was) form.elements.was.value = draft.was;
  void hold();
  touched = true;
  if (draft.files.length) void take(draft.files);
}

function offer(draft) {
  const row = offers.querySelector("template").content.cloneNode(true).querySelector("li");
  const text = textOf(draft.fields);
  const count = text ? text.split(/\s+/u).length : 0;
  const start = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  const lang = document.documentElement.lang;
  const when = new Intl.DateTimeFormat(lang, { weekday: "long", day: "numeric", month: "long", hour: "numeric", minute: "numeric" }).format(draft.at);
  const said = count === 1 ? offers.dataset.one : offers.dataset.many;
  const told = { count: new Intl.NumberFormat(lang).format(count), when, start };
  row.querySelector("[data-told]").textContent = said.replace(/\{(\w+)\}/g, (_, name) => told[name]);
  const done = () => {
    row.remove();
    offers.hidden = !offers.querySelector("ul > li");
  };
  row.querySelector("[data-show]").addEventListener("click", () => {
    if (about === "new" && draft.kind !== control("kind") && !touched && isEmpty()) {
      location.assign(`/desk/new?kind=${encodeURIComponent(draft.kind)}#${draft.key}`);
    } else if (!touched && !document.getElementById("problems") && (about !== "new" || isEmpty())) {
      if (about !== "new") for (const each of form.querySelectorAll(".attached > li")) each.remove();
      fill(draft);
      done();
      form.elements.content?.focus?.();
    } else {
      const beside = row.querySelector("pre");
      beside.textContent = text;
      beside.hidden = false;
    }
  });
  row.querySelector("[data-discard]").addEventListener("click", async () => {
    await remove("drafts", draft.key);
    done();
    form.elements.content?.focus?.();
  });
  offers.querySelector("ul").append(row);
  offers.hidden = false;
  if (location.hash === `#${draft.key}` && draft.kind === control("kind")) {
    history.replaceState(null, "", location.pathname + location.search);
    row.querySelector("[data-show]").click();
  }
}

// Whether the server has carried out what a form asked for; not, where it does not say.
async function isDone(once) {
  try {
    const asked = new URLSearchParams({ once });
    const answer = await fetch(`/desk/once?${asked}`, { headers: { Accept: "application/json" } });
    return answer.ok && (await answer.json()).done.includes(once);
  } catch {
    return false;
  }
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function standsHere(draft, isOwn) {
  if (draft.files.length) return false;
  if (isOwn) return textOf(draft.fields) === textOf(fieldsNow());
  // The post says just that already.
  return about !== "new" && same(draft.fields, fieldsNow());
}

let shown = 0;

async function consider(key) {
  const isOwn = key === keyOf(control("once"));
  // Until no other tab has it open: it may be this tab's last page, which is just being closed.
  if (!isOwn) await navigator.locks?.request(key, () => {});
  const draft = (await all("drafts")).find((each) => each.key === key);
  if (!draft) return;
  const isWritten = draft.sent && !draft.files.length && await isDone(draft.once);
  if (isWritten) await remove("drafts", key);
  else if (draft.about !== about || shown === SHOWN) return;
  else if (standsHere(draft, isOwn)) {
    if (!isOwn) await remove("drafts", key);
  } else {
    shown += 1;
    offer(draft);
  }
}

async function begin() {
  const drafts = (await all("drafts")).sort((one, other) => other.at - one.at);
  void hold();
  for (const draft of drafts.slice(0, 100)) void consider(draft.key);
}

void begin();

// --- without a network: posted as soon as there is one ------------------------------------------

const later = form.querySelector("[data-later]");
if (later) {
  const show = () => { later.hidden = navigator.onLine; };
  for (const name of ["online", "offline"]) addEventListener(name, show);
  show();
  later.addEventListener("click", async () => {
    if (isEmpty() && !waiting.size) return;
    const once = control("once");
    await queue({ once, kind: control("kind"), fields: fieldsNow(), files: [...waiting] });
    touched = false;
    clearTimeout(timer);
    await remove("drafts", keyOf(once));
    location.assign("/desk/outbox");
  });
}

// The browser would show its own page instead of this one. Before all others that listen.
form.addEventListener("submit", (event) => {
  if (navigator.onLine) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const said = form.querySelector("[data-said]");
  if (later && event.submitter?.value === "published") later.click();
  else said.textContent = said.dataset.failed;
}, { capture: true });
