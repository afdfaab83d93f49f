// Conversations in memory and in the store. Each save merges with what other tabs wrote meanwhile.

import { become, merge, snapshot } from "./merging.js";

export class Keeper {
  #store;
  #bases = new WeakMap(); // conversation → what the store held of it when it was last read or written

  constructor(store) {
    this.#store = store;
  }

  /** A kept conversation; null where there is none of this id. */
  async load(id) {
    const found = await this.#store.get(id);
    if (found) this.#bases.set(found, snapshot(found));
    return found;
  }

  /** Put it back as it is, though it was removed. */
  forget(conversation) {
    this.#bases.delete(conversation);
  }

  /** Write it. Returns false where another tab removed it; throws where the browser refuses. */
  async save(conversation) {
    const base = this.#bases.get(conversation);
    let there = true;
    try {
      await this.#store.update(conversation.id, (stored) => {
        there = Boolean(stored || !base);
        if (!there) return null;
        if (stored && base) become(conversation, merge(base, conversation, stored));
        this.#bases.set(conversation, snapshot(conversation));
        return conversation;
      });
    } catch (error) {
      if (base) this.#bases.set(conversation, base);
      else this.#bases.delete(conversation);
      throw error;
    }
    return there;
  }

  /** Take over what other tabs wrote. Returns false where they removed it. */
  async refresh(conversation) {
    const base = this.#bases.get(conversation);
    if (!base) return true; // it was never written
    const stored = await this.#store.get(conversation.id);
    if (!stored) return false;
    const held = snapshot(stored);
    become(conversation, merge(this.#bases.get(conversation), conversation, stored)); // it may have been written meanwhile
    this.#bases.set(conversation, held);
    return true;
  }
}
