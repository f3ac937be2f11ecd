// The list of what waits in this browser, with what can be done about each.
import { flush, put, remove, waitingPosts } from "./outbox.js";

const list = document.getElementById("outbox");
const words = list.dataset;
const canSend = Boolean(document.querySelector("input[name=csrf]"));

function rowOf(item) {
  const row = list.querySelector("template").content.cloneNode(true).querySelector("li");
  const text = item.fields.filter(([name]) => ["name", "content"].includes(name));
  const start = text.map(([, value]) => value).join(" ").trim() || item.kind;
  row.querySelector("[data-start]").textContent = start.length > 200 ? `${start.slice(0, 200)}…` : start;
  const lang = document.documentElement.lang;
  const time = row.querySelector("time");
  time.dateTime = new Date(item.added).toISOString();
  time.textContent = new Intl.DateTimeFormat(lang, { dateStyle: "long", timeStyle: "short" }).format(item.added);
  const problem = row.querySelector("[data-problem]");
  problem.hidden = !item.problem;
  problem.textContent = words[item.problem] ?? item.problem ?? "";
  const [send, edit, away] = ["send", "edit", "delete"].map((name) => row.querySelector(`[data-${name}]`));
  send.hidden = edit.hidden = !canSend;
  send.addEventListener("click", () => flush(item.key));
  edit.addEventListener("click", async () => {
    const key = `draft:new:${item.once}`;
    const { once, kind, files } = item;
    // The time of the press is no date that the owner has typed.
    const fields = item.fields.filter(([name]) => !(item.stamped && name === "published"));
    await put("drafts", { key, about: "new", sent: false, at: Date.now(), once, was: "", kind, fields, files });
    await remove("outbox", item.key);
    location.assign(`/desk/new?kind=${encodeURIComponent(kind)}#${key}`);
  });
  away.addEventListener("click", async () => {
    await remove("outbox", item.key);
    await show();
  });
  return row;
}

export async function show() {
  const items = await waitingPosts();
  list.querySelector("ul").replaceChildren(...items.map(rowOf));
  list.querySelector("[data-none]").hidden = items.length > 0;
}

addEventListener("flushed", show);
void show();
