// A page to write on without a network. It holds nothing of the owner's but what they type here.
import { put, queue, remove } from "./outbox.js";
import { show } from "./waiting.js";

const form = document.getElementById("compose");
const said = form.querySelector("[data-said]");
const { content, category, photo } = form.elements;
let once = "";
let timer = 0;

function now() {
  once ||= crypto.randomUUID().replaceAll("-", "");
  const fields = [["content", content.value], ["category", category.value]];
  const files = [...photo.files];
  return { once, kind: files.length ? "photo" : "note", fields, files };
}

const isEmpty = () => !content.value.trim() && !photo.files.length;

async function save() {
  clearTimeout(timer);
  if (isEmpty()) return;
  const draft = now();
  await put("drafts", { ...draft, key: `draft:new:${draft.once}`, about: "new", sent: false, at: Date.now(), was: "" });
}

form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(save, 500);
});
addEventListener("pagehide", () => void save());
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isEmpty()) {
    said.textContent = said.dataset.empty;
    content.focus();
    return;
  }
  clearTimeout(timer);
  const item = now();
  await queue(item);
  form.reset();
  once = "";
  await remove("drafts", `draft:new:${item.once}`);
  said.textContent = said.dataset.kept;
  await show();
  if (navigator.onLine) location.assign("/desk/outbox");
});
// What waits is sent by a page that has a session; what is being typed here is not torn away.
addEventListener("online", () => isEmpty() && location.assign("/desk/outbox"));
