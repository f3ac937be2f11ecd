// What this browser keeps for a desk that has a host name of its own, in IndexedDB: drafts, and posts
// that wait for a network. These are sent in their order, once each.
const opened = new Promise((resolve, reject) => {
  const asked = indexedDB.open("desk", 1);
  asked.onupgradeneeded = () => {
    for (const name of ["drafts", "outbox"]) asked.result.createObjectStore(name, { keyPath: "key" });
  };
  asked.onsuccess = () => resolve(asked.result);
  asked.onerror = () => reject(asked.error);
});

async function run(store, mode, act) {
  const database = await opened;
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(store, mode);
    const request = act(transaction.objectStore(store));
    // At once: a page that is being closed would take an open transaction along.
    transaction.commit?.();
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

export const all = (store) => run(store, "readonly", (kept) => kept.getAll());
export const put = (store, value) => run(store, "readwrite", (kept) => kept.put(value));
export const remove = (store, key) => run(store, "readwrite", (kept) => kept.delete(key));

// --- posts that wait for a network --------------------------------------------------------------

const KINDS = { image: "photo", video: "video", audio: "audio" };
const JSON_TYPE = "application/json";

export async function waitingPosts() {
  return (await all("outbox")).sort((one, other) => one.added - other.added);
}

// Further pages of the desk load this file only while this cookie says that a post is waiting. It is
// kept as long as browsers allow.
const COOKIE = "desk-outbox";

function mark(isWaiting) {
  if (isWaiting === document.cookie.includes(`${COOKIE}=`)) return;
  document.cookie = `${COOKIE}=1; path=/desk/; max-age=${isWaiting ? 34560000 : 0}; samesite=strict`;
}

// The time of a post is that of the press, whenever it is sent.
export function queue({ once, kind, fields, files }) {
  mark(true);
  const now = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const dated = fields.some(([name, value]) => name === "published" && value);
  const rest = fields.filter(([name]) => dated || name !== "published");
  const stamped = dated ? rest : [...rest, ["published", now]];
  const added = Date.now();
  return put("outbox", { key: once, once, kind, fields: stamped, files, added, stamped: !dated });
}

class Refused extends Error {}

async function post(path, body) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body, headers: { Accept: JSON_TYPE } });
  } catch {
    throw new Error("network");
  }
  const told = (answer.headers.get("Content-Type") ?? "").startsWith(JSON_TYPE);
  if (!told) throw new Error(answer.status < 500 ? "signin" : "failed");
  const found = await answer.json();
  if (answer.ok) return found;
  if (answer.status >= 500) throw new Error("failed");
  if (found.again) throw new Error("signin");
  throw new Refused(found.problem ?? found.problems?.join(" "));
}

function filled(csrf, fields) {
  const body = new FormData();
  for (const [name, value] of [["csrf", csrf], ...fields]) body.append(name, value);
  return body;
}

// Files come first: what is known of them is kept, so that none is sent twice.
async function sendOne(item, csrf) {
  while (item.files.length) {
    const [file] = item.files;
    const body = filled(csrf, []);
    body.append("file[]", file, file.name);
    const { urls } = await post("/desk/files", body);
    const name = KINDS[file.type.split("/")[0]] ?? "photo";
    item.fields.push([`${name}[]`, urls[0]]);
    item.files = item.files.slice(1);
    await put("outbox", item);
  }
  const own = [["once", item.once], ["kind", item.kind], ["post-status", "published"]];
  await post("/desk/outbox", filled(csrf, [...own, ...item.fields]));
  await remove("outbox", item.key);
}

// Sends what waits, or one of it. What was refused waits for the owner; others go on. Says whether
// it had to stop where trying again later may help.
async function sendAll(only, csrf) {
  for (const item of await waitingPosts()) {
    if (only ? item.key !== only : item.refused) continue;
    try {
      await sendOne(item, csrf);
    } catch (error) {
      item.refused = error instanceof Refused;
      item.problem = error.message;
      await put("outbox", item);
      if (!item.refused) return error.message !== "signin";
    }
  }
  return false;
}

// Seconds until it is tried again by itself; after that by hand, or when the network comes back.
const PAUSES = [5, 30, 120];
let tries = 0;
let timer = 0;

export async function flush(only = "") {
  clearTimeout(timer);
  const csrf = document.querySelector("input[name=csrf]")?.value;
  if (csrf && navigator.onLine) {
    // One tab at a time.
    const stopped = await navigator.locks.request("outbox", () => sendAll(only, csrf));
    if (!stopped) tries = 0;
    else if (tries < PAUSES.length) {
      timer = setTimeout(flush, PAUSES[tries] * 1000, "");
      tries += 1;
    }
  }
  dispatchEvent(new Event("flushed"));
}

addEventListener("online", () => {
  tries = 0;
  void flush();
});

// --- every page of such a desk: what waits is sent, and the worker installed --------------------

const link = document.getElementById("waiting");

async function tell() {
  const isWaiting = (await waitingPosts()).length > 0;
  link.hidden = !isWaiting;
  mark(isWaiting);
}

if (link) {
  addEventListener("flushed", tell);
  void flush();
  navigator.serviceWorker?.register("/desk/sw.js", { scope: "/desk/" }).catch(() => {});
}
