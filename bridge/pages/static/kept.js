// What this browser keeps for the desk, in IndexedDB: drafts, and posts that wait for a network.
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
