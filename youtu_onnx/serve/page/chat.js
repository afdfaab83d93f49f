// The conversations, the one that is shown, and the answers that are being written. Knows nothing of the page's elements.
//
// Events: "list" (titles, order), "shown" (another conversation, or other nodes), "node" (detail: a node that changed),
// "running" (an answer began or ended), "trouble" (detail: what could not be saved).

import { ApiError, chat as ask, thinkingSwitch } from "./api.js";
import * as tree from "./conversation.js";
import { preference } from "./preferences.js";

const SAVE_EVERY = 400; // milliseconds: what a reload may lose of a half-written answer
const BUSY_WAIT = 5; // seconds, where a busy server doesn't say
const BUSY_TRIES = 5;
const LONGEST_WAIT = 600; // seconds; where the server names a later time, trying again is left to the reader

export class Chat extends EventTarget {
  conversation = tree.create();
  list = [];
  model = null; // an entry of v1/models
  #store;
  #connection;
  #runs = new Map(); // conversation id → { conversation, node, abort, save (a timer) }
  #retries = new Map(); // node id → { timer, tries }

  constructor(store, connection) {
    super();
    this.#store = store;
    this.#connection = connection;
    store.addEventListener("elsewhere", ({ detail }) => this.#changedElsewhere(detail));
  }

  get run() {
    return this.#runs.get(this.conversation.id) ?? null;
  }

  /** The node that waits to be tried again in this conversation, or null. */
  get waiting() {
    const node = tree.last(this.conversation);
    return node && this.#retries.get(node.id)?.timer ? node : null;
  }

  runsIn = (id) => this.#runs.has(id);

  async refresh() {
    this.list = await this.#store.all();
    this.#say("list");
  }

  fresh() {
    this.conversation = tree.create();
    this.#say("shown");
    this.#say("running");
  }

  /** Show a kept conversation; false where there is none of this id. */
  async open(id) {
    const running = this.#runs.get(id)?.conversation;
    const found = running ?? (await this.#store.get(id));
    if (!found) return false;
    if (!running && (await mayMarkInterrupted(id))) {
      for (const node of Object.values(found.nodes)) if (node.state === "running") node.state = "interrupted";
    }
    for (const node of Object.values(found.nodes)) if (node.error && !this.#retries.get(node.id)?.timer) delete node.error.again;
    this.conversation = found;
    this.#say("shown");
    this.#say("running");
    return true;
  }

  send(text) {
    if (this.run || !text.trim()) return;
    this.cancelRetry();
    const node = tree.add(this.conversation, tree.last(this.conversation)?.id ?? null, { role: "user", text });
    this.#answer(node);
  }

  /** The message once more in other words, as another version of it. */
  edit(node, text) {
    if (this.run || !text.trim()) return;
    this.cancelRetry();
    this.#answer(tree.add(this.conversation, node.parent, { role: "user", text }));
  }

  /** Another answer to the same message; in place of one that failed before its first word. */
  again(node) {
    if (this.run) return;
    this.cancelRetry();
    const tries = this.#retries.get(node.id)?.tries ?? 0;
    const reuse = node.state === "failed" && !node.text && !node.thinking;
    this.#answer(this.conversation.nodes[node.parent], reuse ? node : null, tries);
  }

  choose(id) {
    if (this.run) return;
    this.cancelRetry();
    tree.choose(this.conversation, id);
    this.#kept(this.conversation);
    this.#say("shown");
  }

  clearContext() {
    const node = tree.last(this.conversation);
    if (this.run || !node || node.role === "break") return;
    tree.add(this.conversation, node.id, { role: "break" });
    this.#kept(this.conversation);
    this.#say("shown");
  }

  undoClear(node) {
    tree.removeLast(this.conversation, node.id);
    this.#kept(this.conversation);
    this.#say("shown");
  }

  stop() {
    this.run?.abort.abort();
    this.cancelRetry();
  }

  cancelRetry() {
    const node = this.waiting;
    if (!node) return;
    clearTimeout(this.#retries.get(node.id).timer);
    this.#retries.delete(node.id);
    delete node.error.again;
    this.#say("node", node);
    this.#say("running");
  }

  async rename(id, title) {
    const found = await this.#hold(id);
    if (!found || !title.trim()) return;
    Object.assign(found, { title: title.trim(), named: true });
    await this.#kept(found);
    if (id === this.conversation.id) this.#say("titled");
  }

  /** Returns what was removed, so that it can be put back. */
  async remove(id) {
    const found = await this.#hold(id);
    this.#runs.get(id)?.abort.abort();
    this.#runs.delete(id);
    if (id === this.conversation.id) this.fresh();
    await this.#store.remove(id);
    await this.refresh();
    return found;
  }

  async restore(conversation) {
    for (const node of Object.values(conversation.nodes)) if (node.state === "running") node.state = "stopped";
    await this.#kept(conversation);
    await this.open(conversation.id);
  }

  async #answer(question, node = null, tries = 0) {
    const conversation = this.conversation;
    const began = { role: "assistant", text: "", thinking: "", state: "running", model: this.model?.id ?? null,
      times: { began: Date.now() }, finish: null, usage: null, error: null };
    if (node) Object.assign(node, began);
    else node = tree.add(conversation, question.id, began);
    const run = { conversation, node, abort: new AbortController(), save: null };
    this.#runs.set(conversation.id, run);
    this.#kept(conversation);
    this.#say("shown");
    this.#say("running");
    await holdingLock(conversation.id, () => this.#stream(run, question));
    if (this.#runs.get(conversation.id) !== run) return; // deleted meanwhile
    this.#runs.delete(conversation.id);
    if (node.error?.kind === "busy" && tries < BUSY_TRIES) this.#retryLater(run, tries);
    else this.#retries.delete(node.id);
    this.#kept(conversation);
    if (conversation === this.conversation) this.#say("node", node);
    this.#say("running");
  }

  async #stream(run, question) {
    const { node, conversation, abort } = run;
    try {
      for await (const event of ask(this.#request(conversation, question), abort.signal)) {
        fold(node, event);
        if (conversation === this.conversation) this.#say("node", node);
        run.save ??= setTimeout(() => {
          run.save = null;
          this.#save(conversation);
        }, SAVE_EVERY);
      }
      node.state = "done";
      this.#connection.found();
    } catch (error) {
      if (abort.signal.aborted) {
        node.state = "stopped";
      } else if (error instanceof ApiError) {
        node.state = "failed";
        node.error = { kind: error.kind, message: error.message, status: error.status, retryAfter: error.retryAfter };
        if (error.kind === "gone" || error.kind === "cut") this.#connection.lost();
      } else {
        throw error;
      }
    } finally {
      clearTimeout(run.save); // it is saved as a whole now
      node.times.ended = Date.now();
    }
  }

  #request(conversation, question) {
    const thinking = thinkingSwitch(this.model) ? preference("thinking") : "auto";
    return {
      model: this.model?.id, messages: tree.messages(conversation, question, preference("system")), ...preference("sampling"),
      ...(thinking !== "auto" && { chat_template_kwargs: { enable_thinking: thinking === "on" } }),
    };
  }

  #retryLater({ conversation, node }, tries) {
    const seconds = node.error.retryAfter ?? BUSY_WAIT;
    if (seconds > LONGEST_WAIT) return;
    node.error.again = Date.now() + seconds * 1000;
    const timer = setTimeout(() => {
      this.#retries.set(node.id, { timer: null, tries: tries + 1 });
      delete node.error.again;
      if (conversation === this.conversation && !this.run) this.again(node);
    }, seconds * 1000);
    this.#retries.set(node.id, { timer, tries });
  }

  async #changedElsewhere(id) {
    if (!this.#runs.has(id) && id === this.conversation.id) await this.open(id);
    await this.refresh();
  }

  async #hold(id) {
    return id === this.conversation.id ? this.conversation : (this.#runs.get(id)?.conversation ?? (await this.#store.get(id)));
  }

  async #kept(conversation) {
    await this.#save(conversation);
    await this.refresh();
  }

  async #save(conversation) {
    try {
      await this.#store.put(conversation);
    } catch (error) {
      this.#say("trouble", error.message);
    }
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function fold(node, { thinking, text, finish, usage }) {
  const now = Date.now();
  if (thinking || text) {
    node.times.first ??= now;
    node.times.last = now;
    node.pieces = (node.pieces ?? 0) + 1;
  }
  if (thinking) node.thinking += thinking;
  if (text) {
    node.times.answer ??= now;
    node.text += text;
  }
  if (finish) node.finish = finish;
  if (usage) node.usage = usage;
}

/** Another tab may be writing this answer still; each holds a lock while it does. Locks need HTTPS or localhost. */
async function mayMarkInterrupted(id) {
  if (!navigator.locks) return true;
  return !(await navigator.locks.query()).held.some((lock) => lock.name === `youtu-onnx ${id}`);
}

const holdingLock = (id, work) => (navigator.locks ? navigator.locks.request(`youtu-onnx ${id}`, work) : work());
