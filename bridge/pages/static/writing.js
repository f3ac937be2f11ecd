// The text and its tags: a toolbar for Markdown, keys for it, and suggestions from the tags in use.
import { Combobox } from "./vendor.js";
import { form } from "./desk.js";

// --- the text: Ctrl+B, Ctrl+I and Ctrl+K press a button of the toolbar -------------------------

const toolbar = form.querySelector("markdown-toolbar");
const KEYS = { b: "bold", i: "italic", k: "link" };

toolbar?.field.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  const button = toolbar.querySelector(`[data-md-button="${KEYS[event.key]}"]`);
  if (!button) return;
  event.preventDefault();
  button.click();
});

// --- tags: one line, parted by commas, or by semicolons where a tag has a comma in it -----------

const SHOWN = 8;
const line = form.elements.category;
const list = document.getElementById("tag-list");
const known = list ? JSON.parse(list.dataset.tags) : [];
const fold = (text) => text.toLocaleLowerCase().normalize("NFKC");
const markOf = (text) => (text.includes(";") ? ";" : ",");
const split = (text) => text.split(markOf(text)).map((tag) => tag.trim()).filter(Boolean);

// What is being typed: the part of the line in which the caret stands, and where it begins and ends.
function current() {
  const { value, selectionStart: caret } = line;
  const mark = markOf(value);
  const start = value.lastIndexOf(mark, caret - 1) + 1;
  const found = value.indexOf(mark, caret);
  const end = found < 0 ? value.length : found;
  return { start, end, word: value.slice(start, end).trim() };
}

// The tag in place of what is being typed, with room for the next; or behind the others.
function add(tag, place) {
  const { start, end } = place ?? { start: line.value.length, end: line.value.length };
  const others = [...split(line.value.slice(0, start)), ...split(line.value.slice(end))];
  const tags = [...others.filter((each) => fold(each) !== fold(tag)), tag];
  const mark = tags.some((each) => each.includes(",")) ? ";" : markOf(line.value);
  const isOne = mark === ";" && tags.length === 1;
  line.value = `${tags.join(`${mark} `)}${place || isOne ? `${mark} ` : ""}`;
  line.focus();
  line.setSelectionRange(line.value.length, line.value.length);
  form.dispatchEvent(new Event("change"));
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
      option.id = `tag-${place}`;
      option.setAttribute("role", "option");
      option.textContent = tag;
      return option;
    }));
    if (!tags.length) return;
    list.hidden = false;
    combobox.start();
  };
  // What an input method is still composing is no word yet; it says when it is.
  line.addEventListener("input", (event) => event.isComposing || suggest());
  line.addEventListener("compositionend", suggest);
  line.addEventListener("blur", hide);
  line.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    event.preventDefault();
    hide();
  });
  // A press on the list takes the focus from no one.
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("combobox-commit", (event) => {
    add(event.target.textContent, current());
    hide();
  });
}

// The last used are a press away.
const used = form.querySelector("[data-used]");
if (used) {
  used.hidden = false;
  document.getElementById("used-tags").hidden = true;
  for (const button of used.querySelectorAll("button")) {
    button.addEventListener("click", () => add(button.textContent));
  }
}
