// store: conversations and settings, in this browser alone (IndexedDB, localStorage).

const NAME = "loam", TABLE = "conversations";
let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const r = indexedDB.open(NAME, 1);
    r.onupgradeneeded = () => r.result.createObjectStore(TABLE, { keyPath: "id" });
    r.onsuccess = () => resolve(r.result);
    r.onerror = () => reject(r.error);
  });
  return opened;
}

async function act(mode, work) {
  const db = await open();
  return new Promise((resolve, reject) => {
    const t = db.transaction(TABLE, mode), r = work(t.objectStore(TABLE));
    t.oncomplete = () => resolve(r.result);
    t.onerror = () => reject(t.error);
    t.onabort = () => reject(t.error);
  });
}

/** All of them, the newest first. */
export const all = async () => (await act("readonly", (t) => t.getAll())).sort((a, b) => b.created - a.created);
export const put = (conversation) => act("readwrite", (t) => t.put(structuredClone(conversation)));
export const remove = (id) => act("readwrite", (t) => t.delete(id));
export const clear = () => act("readwrite", (t) => t.clear());

export function setting(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem("loam." + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}
export const keep = (name, value) => localStorage.setItem("loam." + name, JSON.stringify(value));
