// Makes the form of a post quicker to use. Without this file it works all the same.
import { Combobox } from "./vendor.js";

export const form = document.getElementById("compose");
const said = form.querySelector("[data-said]");
const words = said.dataset;

const changed = () => form.dispatchEvent(new Event("change"));
// The server's JSON; empty where it fails.
const ask = (path, body) => fetch(path, { method: "POST", body })
  .then((answer) => (answer.ok ? answer.json() : {})).catch(() => ({}));
// Now, and whenever something of the form has changed.
function follow(act) {
  for (const event of ["input", "change"]) form.addEventListener(event, act);
  act();
}

// --- keys: publish with Ctrl+Enter, save a draft with Ctrl+S, preview with Ctrl+Shift+P; in the
// text, Ctrl+B, Ctrl+I and Ctrl+K press a button of the toolbar ---------------------------------

const preview = form.querySelector("[formtarget=preview]");
const toolbar = form.querySelector("markdown-toolbar");
const STYLES = { b: "bold", i: "italic", k: "link" };

function buttonFor(event) {
  if (event.shiftKey) return event.key.toLowerCase() === "p" ? preview : null;
  const style = toolbar?.field === event.target && STYLES[event.key];
  if (style) return toolbar.querySelector(`[data-md-button="${style}"]`);
  const value = { Enter: ["published", ""], s: ["draft"] }[event.key];
  return [...form.querySelectorAll(".bar [name=post-status]:not([formaction])")]
    .find((each) => value?.includes(each.value));
}

form.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
  const button = buttonFor(event);
  if (!button) return;
  event.preventDefault();
  button.click();
});

// The preview opens below the form; without this file, in a tab of its own.
preview?.addEventListener("click", () => {
  let frame = document.getElementsByName("preview")[0];
  if (!frame) {
    frame = document.createElement("iframe");
    Object.assign(frame, { name: "preview", className: "preview", title: preview.textContent });
    form.after(frame);
  }
  frame.scrollIntoView({ block: "nearest" });
});

// --- files: uploaded as soon as they are chosen, dropped or pasted ------------------------------

const NAMES = { image: "photo", video: "video", audio: "audio" };
const fieldFor = (file) => form.querySelector(`[data-files="${NAMES[file.type.split("/")[0]]}"]`);

function renumber(field) {
  const rows = [...field.querySelectorAll(".attached > li")];
  rows.forEach((row, place) => {
    const alt = row.querySelector("textarea");
    if (alt) {
      alt.name = `mp-photo-alt[${place}]`;
      alt.id = `photo-alt-${place}`;
      row.querySelector("label").htmlFor = alt.id;
    }
    for (const number of row.querySelectorAll("[data-number]")) number.textContent = ` (${place + 1})`;
    row.querySelector("[data-move=up]").hidden = place === 0;
    row.querySelector("[data-move=down]").hidden = place === rows.length - 1;
  });
}

export function addRow(field, url, alt) {
  const row = field.querySelector("template").content.cloneNode(true).querySelector("li");
  const address = row.querySelector("input[type=hidden]");
  address.name = `${field.dataset.files}[]`;
  address.value = url;
  const picture = row.querySelector("img");
  if (picture) picture.src = url;
  else row.querySelector(".url").textContent = url;
  const described = row.querySelector("textarea");
  if (described) described.value = alt;
  field.querySelector(".attached").append(row);
  renumber(field);
  return row;
}

async function send(file) {
  const body = new FormData();
  body.append("csrf", form.elements.csrf.value);
  body.append("file[]", file, file.name);
  const answer = await fetch("/desk/files", { method: "POST", body, headers: { Accept: "application/json" } });
  const told = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  if (!told) throw new Error(words.failed);
  const found = await answer.json();
  if (!found.urls?.length) throw new Error(found.problems?.join(" ") || words.failed);
  return found.urls[0];
}

let sending = 0;

// Files that are chosen and not uploaded yet.
export const waiting = new Set();

const isSame = (one, other) => ["name", "size", "lastModified"].every((key) => one[key] === other[key]);

const forget = (file) => [...waiting].filter((each) => isSame(each, file)).forEach((each) => waiting.delete(each));

export async function take(files) {
  const known = [...files].map((file) => [file, fieldFor(file)]).filter(([, field]) => field);
  let done = 0;
  for (const [file] of known) {
    forget(file);
    waiting.add(file);
  }
  changed();
  for (const [file, field] of known) {
    sending += 1;
    said.textContent = `${file.name} (${done + 1}/${known.length}) …`;
    try {
      const row = addRow(field, await send(file), "");
      forget(file);
      changed();
      if (done === 0) row.querySelector("textarea")?.focus();
      done += 1;
      said.textContent = `${done}/${known.length} ${words.added}`;
    } catch (error) {
      said.textContent = `${file.name}: ${error.message}`;
    } finally {
      sending -= 1;
    }
  }
  return known.length;
}

addEventListener("beforeunload", (event) => sending && event.preventDefault());
form.addEventListener("submit", (event) => {
  if (!sending) return;
  event.preventDefault();
  said.textContent = words.wait;
});

// Going back to a form that was sent: browsers fill in what was typed. If the post is there, as the
// page tells, pressing again would make a second one.
form.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.submitter?.formTarget) return;
  history.replaceState({ ...history.state, sent: true }, "");
});
addEventListener("pageshow", () => {
  if (!history.state?.sent) return;
  if (document.querySelector(".told a")) form.reset();
  history.replaceState({ ...history.state, sent: false }, "");
});

for (const field of form.querySelectorAll("[data-files]")) {
  const chooser = field.querySelector("input[type=file]");
  chooser.addEventListener("change", async () => {
    const files = [...chooser.files];
    chooser.value = "";
    await take(files);
  });
  for (const each of field.querySelectorAll("[value=add], [data-plain]")) each.hidden = true;
  renumber(field);
}

form.addEventListener("dragover", (event) => {
  if (event.dataTransfer.types.includes("Files")) event.preventDefault();
});
form.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  void take(event.dataTransfer.files);
});
form.addEventListener("paste", (event) => {
  const files = event.clipboardData.files;
  if (!files.length || event.clipboardData.types.includes("text/plain")) return;
  event.preventDefault();
  void take(files);
});

form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-move]");
  if (!button) return;
  event.preventDefault();
  const row = button.closest("li");
  const field = row.closest("[data-files]");
  if (button.dataset.move === "up") row.previousElementSibling?.before(row);
  if (button.dataset.move === "down") row.nextElementSibling?.after(row);
  if (button.dataset.move === "remove") row.remove();
  renumber(field);
  changed();
  if (row.isConnected && !button.hidden) button.focus();
  else field.querySelector("input[type=file]").focus();
});

// --- places: those of earlier posts are suggested, and the present one is looked up -------------

for (const place of form.querySelectorAll("[data-place]")) {
  const [name, latitude, longitude] = ["name", "latitude", "longitude"]
    .map((key) => form.elements[`${place.dataset.place}[${key}]`]);
  const button = place.querySelector("[data-here]");
  const map = place.querySelector("[data-map]");
  let known = new Map();
  const suggest = async (near = {}) => {
    const body = new URLSearchParams({ csrf: form.elements.csrf.value, ...near });
    const { places = [] } = await ask("/desk/places", body);
    known = new Map(places.map((each) => [each.name, each]));
    place.querySelector("datalist").replaceChildren(...[...known.keys()].map((each) => new Option("", each)));
  };
  const stand = (north, east) => {
    latitude.value = north;
    longitude.value = east;
    changed();
  };
  name.addEventListener("focus", () => void suggest(), { once: true });
  name.addEventListener("input", () => {
    const there = known.get(name.value);
    if (there?.latitude === undefined || there.longitude === undefined || latitude.value || longitude.value) return;
    stand(there.latitude, there.longitude);
  });
  follow(() => {
    const [north, east] = [latitude, longitude].map((each) => each.value.trim().replace(",", "."));
    map.hidden = !north || !east;
    map.search = new URLSearchParams({ mlat: north, mlon: east, zoom: "16" });
  });
  if (!navigator.geolocation || !isSecureContext) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    navigator.geolocation.getCurrentPosition(
      async ({ coords }) => {
        stand(coords.latitude.toFixed(5), coords.longitude.toFixed(5));
        await suggest({ lat: latitude.value, lon: longitude.value });
        if (!name.value) name.focus();
      },
      () => { said.textContent = words.nowhere; },
      { enableHighAccuracy: true, timeout: 20000 },
    );
  });
}

// --- the page that is replied to: looked up as soon as its URL is entered -----------------------

for (const card of form.querySelectorAll("[data-context]")) {
  const field = form.elements[card.dataset.context];
  let asked = card.hidden ? "" : field.value.trim();
  const lookUp = async () => {
    const url = field.value.trim();
    if (url === asked) return;
    asked = url;
    card.hidden = true;
    if (!/^https?:\/\/\S+$/.test(url)) return;
    const body = new URLSearchParams({ csrf: form.elements.csrf.value, url });
    const found = await ask("/desk/context", body);
    if (asked !== url || !found.url) return;
    card.querySelector("[data-problem]").hidden = !found.problem;
    card.querySelector("[data-problem] span").textContent = found.problem;
    card.querySelector("[data-found]").hidden = Boolean(found.problem);
    card.querySelector("[data-name]").textContent = found.name || new URL(url).host;
    card.querySelector("[data-author]").textContent = found.author;
    card.querySelector("[data-excerpt]").textContent = found.excerpt;
    card.hidden = false;
  };
  field.addEventListener("change", lookUp);
  void lookUp();
}

// --- a date in the future: the post is scheduled ------------------------------------------------

const date = form.elements.published;
const publish = form.querySelector("[data-later-words]");
if (date && publish) {
  const now = publish.textContent;
  follow(() => {
    // In this browser's time zone; the site's is named below the field.
    publish.textContent = date.value && new Date(date.value) > new Date() ? publish.dataset.laterWords : now;
  });
}

// --- the URL that the post will get, as far as it is known --------------------------------------

const address = form.querySelector("[data-address]");
const more = form.querySelector(".more");
if (address) {
  let last = null;
  const tell = async () => {
    if (!more.open) return;
    const body = new FormData();
    for (const [name, value] of new FormData(form)) if (typeof value === "string") body.append(name, value);
    last = body;
    const { url } = await ask("/desk/address", body);
    if (last !== body) return;
    address.hidden = !url;
    address.querySelector(".url").textContent = url ?? "";
  };
  more.addEventListener("toggle", tell);
  form.addEventListener("change", tell);
}

// --- space left in copies elsewhere, shown when it gets short -----------------------------------

const room = form.querySelector("[data-room]");
if (room) {
  const graphemes = globalThis.Intl?.Segmenter && new Intl.Segmenter();
  const count = (text) => (graphemes && text.length < 5000 ? [...graphemes.segment(text)].length : text.length);
  follow(() => {
    // A post with a title is copied as its title and a link.
    const text = form.elements.name?.value.trim() ? "" : form.elements.content.value.trim();
    const lines = [...form.querySelectorAll("[data-most]:checked")].map((copy) => {
      const most = Number(copy.dataset.most);
      // Links count as 23 characters at Mastodon.
      const length = text.length < most * 0.8 ? 0 : count(text.replace(/https?:\/\/\S+/g, "x".repeat(23)));
      const said = length > most ? room.dataset.over : room.dataset.near;
      const told = { name: copy.parentElement.textContent.trim(), count: length, most };
      return length < most * 0.8 ? "" : said.replace(/\{(\w+)\}/g, (_, name) => told[name]);
    });
    room.textContent = lines.filter(Boolean).join(" ");
    room.hidden = !room.textContent;
  });
}

// --- tags: one line, separated by commas, or by semicolons where a tag contains a comma ---------

const SHOWN = 8;
const line = form.elements.category;
const list = document.getElementById("tag-list");
let known = [];
const fold = (text) => text.toLocaleLowerCase().normalize("NFKC");
const markOf = (text) => (text.includes(";") ? ";" : ",");
const split = (text) => text.split(markOf(text)).map((tag) => tag.trim()).filter(Boolean);

// The tag that is being typed, at the caret, and where it begins and ends.
function current() {
  const { value, selectionStart: caret } = line;
  const mark = markOf(value);
  const start = value.lastIndexOf(mark, caret - 1) + 1;
  const found = value.indexOf(mark, caret);
  const end = found < 0 ? value.length : found;
  return { start, end, word: value.slice(start, end).trim() };
}

// Puts a tag in place of what is being typed, ready for the next one; or behind the others.
function add(tag, place) {
  const { start, end } = place ?? { start: line.value.length, end: line.value.length };
  const others = [...split(line.value.slice(0, start)), ...split(line.value.slice(end))];
  const tags = [...others.filter((each) => fold(each) !== fold(tag)), tag];
  const mark = tags.some((each) => each.includes(",")) ? ";" : markOf(line.value);
  const isOne = mark === ";" && tags.length === 1;
  line.value = `${tags.join(`${mark} `)}${place || isOne ? `${mark} ` : ""}`;
  line.focus();
  line.setSelectionRange(line.value.length, line.value.length);
  changed();
}

function matching(word) {
  const [asked, there] = [fold(word), new Set(split(line.value).map(fold))];
  const found = known.filter((tag) => fold(tag).includes(asked) && !there.has(fold(tag)));
  const first = found.filter((tag) => fold(tag).startsWith(asked));
  return [...new Set([...first, ...found])].slice(0, SHOWN);
}

if (list) {
  const combobox = new Combobox(line, list);
  const hide = () => {
    if (list.hidden) return;
    combobox.stop();
    list.hidden = true;
  };
  const suggest = () => {
    const { word } = current();
    const tags = word ? matching(word) : [];
    hide();
    list.replaceChildren(...tags.map((tag, place) => {
      const option = document.createElement("li");
      Object.assign(option, { id: `tag-${place}`, textContent: tag });
      option.setAttribute("role", "option");
      return option;
    }));
    if (!tags.length) return;
    list.hidden = false;
    combobox.start();
  };
  // Loaded when the field is first focused.
  line.addEventListener("focus", async () => {
    known = (await ask("/desk/tags", new URLSearchParams({ csrf: form.elements.csrf.value }))).categories ?? [];
    if (document.activeElement === line) suggest();
  }, { once: true });
  // While an input method composes a word, the text is not final.
  line.addEventListener("input", (event) => event.isComposing || suggest());
  line.addEventListener("compositionend", suggest);
  line.addEventListener("blur", hide);
  line.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    event.preventDefault();
    hide();
  });
  // A press on the list must not move the focus.
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("combobox-commit", (event) => {
    add(event.target.textContent, current());
    hide();
  });
}

// The tags used last are added by a press.
const used = form.querySelector("[data-used]");
if (used) {
  used.hidden = false;
  document.getElementById("used-tags").hidden = true;
  for (const button of used.querySelectorAll("button")) {
    button.addEventListener("click", () => add(button.textContent));
  }
}
