// Conversations in IndexedDB (localStorage holds 5 MB only, and blocks while it writes), one record each.
//
// A database for each path, so that two servers behind one host don't show each other's. Where the browser refuses storage
// they are held in memory, and `lasting` is false.

const NAME = `youtu-onnx ${new URL(".", location.href).pathname}`;
const TABLE = "conversations";

export class Store extends EventTarget {
  lasting = true;
  #database = null;
  #memory = new Map();
  #channel = new BroadcastChannel(NAME);

  constructor() {
    super();
    this.#channel.onmessage = ({ data }) => this.dispatchEvent(new CustomEvent("elsewhere", { detail: data }));
  }

  async open() {
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(TABLE, { keyPath: "id" });
      this.#database = await settled(request);
    } catch {
      this.lasting = false;
    }
  }

  /** All of them, those used last first. */
  async all() {
    const found = this.lasting ? await settled(this.#table("readonly").getAll()) : [...this.#memory.values()];
    return found.sort((a, b) => b.updated - a.updated);
  }

  async get(id) {
    return (this.lasting ? await settled(this.#table("readonly").get(id)) : this.#memory.get(id)) ?? null;
  }

  /** Throws where the browser refuses, such as when the disk is full. */
  async put(conversation) {
    if (this.lasting) await settled(this.#table("readwrite").put(conversation));
    else this.#memory.set(conversation.id, conversation);
    this.#channel.postMessage(conversation.id);
  }

  async remove(id) {
    if (this.lasting) await settled(this.#table("readwrite").delete(id));
    else this.#memory.delete(id);
    this.#channel.postMessage(id);
  }

  #table(mode) {
    return this.#database.transaction(TABLE, mode).objectStore(TABLE);
  }
}

const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
