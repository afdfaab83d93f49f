// The conversations, the one that is shown, and the answers that are being written. Knows nothing of the page's elements.
//
// Events: "list" (titles, order), "shown" (another conversation, or other nodes), "node" (detail: a node that changed),
// "running" (an answer began or ended), "titled", "settings", "trouble" (detail: what could not be saved).

import { begun, goingOn } from "./answering.js";
import { certain } from "./choices.js";
import * as tree from "./conversation.js";
import { Keeper } from "./keeping.js";
import { freshSettings, prefer } from "./preferences.js";
import { asked } from "./requests.js";
import { Retries } from "./retries.js";
import { Runs } from "./runs.js";
import { summaryOf } from "./store.js";
import { noticeChange, whileAlone, writtenElsewhere } from "./tabs.js";

export class Chat extends EventTarget {
  conversation = tree.create();
  list = []; // summaries, those used last first
  model = null; // an entry of v1/models
  #store;
  #keeper;
  #runs;
  #retries = new Retries();

  constructor(store, connection) {
    super();
    this.#store = store;
    this.#keeper = new Keeper(store);
    this.#runs = new Runs(connection, {
      heard: (conversation, node) => conversation === this.conversation && this.#say("node", node),
      save: (conversation) => this.#save(conversation),
      takeOver: (conversation) => this.#takeOver(conversation),
      ended: (...all) => this.#ended(...all),
    });
    store.addEventListener("elsewhere", ({ detail }) => this.#changedElsewhere(detail));
  }

  get run() {
    return this.#runs.of(this.conversation.id);
  }

  /** The node that waits to be tried again in this conversation, or null. */
  get waiting() {
    const node = tree.last(this.conversation);
    return node && this.#retries.waits(node) ? node : null;
  }

  /** How answers of the shown conversation are asked for. */
  get settings() {
    return this.conversation.settings ?? freshSettings();
  }

  runsIn = (id) => Boolean(this.#runs.of(id));

  /** Of a node before its first word: { tab: true }, { queue: its place }, { progress }, or null. */
  signOf = (node) => (this.run?.node === node ? this.run.sign : null);

  async refresh() {
    this.list = await this.#store.summaries();
    this.#say("list");
  }

  fresh() {
    this.conversation = tree.create();
    this.#shown();
  }

  /** Show a kept conversation; false where there is none of this id. */
  async open(id) {
    const running = this.#runs.of(id)?.conversation;
    const found = running ?? (await this.#keeper.load(id));
    if (!found) return false;
    for (const node of Object.values(found.nodes)) if (node.error && !this.#retries.waits(node)) delete node.error.again;
    this.conversation = found;
    if (!running) await this.#markInterrupted(found);
    if (this.conversation === found) this.#shown();
    return true;
  }

  send(text, files = []) {
    if (this.run || !(text.trim() || files.length)) return;
    this.cancelRetry();
    this.#ask(tree.last(this.conversation)?.id ?? null, text, files);
  }

  /** The message once more in other words, as another version of it. */
  edit(node, text, files = node.files ?? []) {
    if (this.run || !(text.trim() || files.length)) return;
    this.cancelRetry();
    this.#ask(node.parent, text, files);
  }

  /** A message that didn't fit once more, with nothing before it. */
  askAlone(node) {
    if (this.run) return;
    const mark = tree.add(this.conversation, node.parent, { role: "break" });
    this.#ask(mark.id, node.text, node.files ?? []);
  }

  /** Another answer to the same message, as `change` would have it asked for; in place of one that failed before its first word. */
  again(node, change = {}) {
    if (this.run) return;
    this.cancelRetry();
    const reuse = node.state === "failed" && !node.text && !node.thinking;
    const how = { ...asked(this.settings, this.model), ...change };
    this.#answer(this.conversation.nodes[node.parent], begun(this.model?.id ?? null, how), reuse ? node : null);
  }

  /** Why another answer would be this one again: "greedy", "seed", or null where it may differ. */
  repeats(node) {
    const how = JSON.stringify(asked(this.settings, this.model));
    const same = node.state === "done" && node.model === this.model?.id && JSON.stringify(node.asked) === how;
    return same ? certain(node.asked, this.model.defaults) : null;
  }

  /** Let an answer go on where it ended. */
  goOn(node) {
    if (this.run) return;
    node.asked ??= asked(this.settings, this.model);
    this.#answer(this.conversation.nodes[node.parent], goingOn(node), node, { ...node });
  }

  choose(id) {
    if (this.run) return;
    this.cancelRetry();
    tree.choose(this.conversation, id);
    this.#changed();
  }

  clearContext() {
    const node = tree.last(this.conversation);
    if (this.run || !node || node.role === "break") return;
    tree.add(this.conversation, node.id, { role: "break" });
    this.#changed();
  }

  undoClear(node) {
    tree.remove(this.conversation, node.id);
    this.#changed();
  }

  /** Another version of an answer, in the reader's words. */
  rewrite(node, text) {
    if (this.run) return;
    const { model, asked: how, thinking } = node;
    tree.add(this.conversation, node.parent, { role: "assistant", text, thinking, model, asked: how, state: "done", finish: null,
      usage: null, error: null, edited: true });
    this.#changed();
  }

  /** Take a message away with what follows it. Returns what puts it back. */
  take(node) {
    if (this.run) return null;
    this.cancelRetry();
    const { conversation } = this;
    const removed = tree.remove(conversation, node.id);
    this.#changed();
    return () => {
      tree.putBack(conversation, removed);
      this.#changed(conversation);
    };
  }

  /** A conversation of its own with all up to a node. Returns its id. */
  async fork(node, title) {
    const made = tree.fork(this.conversation, node, title);
    await this.#save(made);
    return made.id;
  }

  /** Other settings for the shown conversation; those of one without messages are kept for the next. */
  adjust(change) {
    const settings = { ...this.settings, ...change };
    if (this.conversation.settings) {
      this.conversation.settings = settings;
      this.#save(this.conversation);
    } else {
      prefer("fresh", settings);
    }
    this.#say("settings");
  }

  stop() {
    this.run?.abort.abort();
    this.cancelRetry();
  }

  cancelRetry() {
    const node = this.waiting;
    if (!node) return;
    this.#retries.cancel(node);
    this.#say("node", node);
    this.#say("running");
  }

  /** A whole conversation, that of the page where it is there. */
  async whole(id) {
    return id === this.conversation.id ? this.conversation : (this.#runs.of(id)?.conversation ?? this.#keeper.load(id));
  }

  async rename(id, title) {
    const found = await this.whole(id);
    if (!found || !title.trim()) return;
    Object.assign(found, { title: title.trim(), named: true });
    await this.#save(found);
    if (id === this.conversation.id) this.#say("titled");
  }

  /** Returns what was removed, so that it can be put back. */
  async remove(id) {
    const found = await this.whole(id);
    this.#runs.drop(id);
    if (id === this.conversation.id) this.fresh();
    await this.#store.remove(id);
    this.#list(id, null);
    return found;
  }

  async removeAll() {
    for (const id of this.#runs.ids()) this.#runs.drop(id);
    this.fresh();
    await this.#store.removeAll();
    await this.refresh();
  }

  /** Keep conversations that were removed or come from a file. */
  async restore(...conversations) {
    for (const one of conversations) {
      for (const node of Object.values(one.nodes)) if (node.state === "running") node.state = "stopped";
      this.#keeper.forget(one);
      await this.#save(one);
    }
  }

  #ask(parent, text, files) {
    if (!this.conversation.settings) {
      this.conversation.settings = structuredClone(freshSettings());
      prefer("fresh", null);
    }
    const node = tree.add(this.conversation, parent, { role: "user", text, ...(files.length && { files }) });
    this.#answer(node, begun(this.model?.id ?? null, asked(this.settings, this.model)));
  }

  /** fields: what the answer's node becomes now; node: one that is there; from: it as it was, to go on with. */
  #answer(question, fields, node = null, from = null) {
    const { conversation } = this;
    if (node) Object.assign(node, fields);
    else node = tree.add(conversation, question.id, fields);
    this.#runs.start(conversation, question, node, from);
    this.#save(conversation);
    this.#shown();
  }

  #ended(conversation, node, wentOn) {
    const again = () => (wentOn ? this.goOn(node) : this.again(node));
    this.#retries.after(node, () => conversation === this.conversation && again());
    if (conversation === this.conversation) this.#say("node", node);
    this.#say("running");
  }

  async #changedElsewhere(id) {
    noticeChange(id);
    const here = this.#runs.of(id)?.conversation ?? (id === this.conversation.id ? this.conversation : null);
    if (here) await this.#takeOver(here);
    const found = here && this.list.some((one) => one.id === id) ? here : await this.#store.get(id);
    this.#list(id, found);
  }

  /** What other tabs wrote into a conversation that is held here. */
  async #takeOver(conversation) {
    const there = await this.#keeper.refresh(conversation);
    const { id } = conversation;
    const own = this.#runs.of(id)?.node;
    if (own && !(there && own.id in conversation.nodes)) this.#runs.drop(id);
    if (!there) {
      this.list = this.list.filter((one) => one.id !== id);
      if (conversation === this.conversation) this.fresh();
    } else if (conversation === this.conversation) {
      await this.#markInterrupted(conversation);
      this.#shown();
    }
  }

  /** Answers that nobody writes any more. Where another tab does, once more when it has ended. */
  async #markInterrupted(conversation) {
    const own = this.#runs.of(conversation.id)?.node;
    const open = Object.values(conversation.nodes).filter((node) => node.state === "running" && node !== own);
    if (!open.length || own) return;
    if (await writtenElsewhere(conversation.id)) {
      whileAlone(conversation.id, undefined, () => {}).then(() => conversation === this.conversation && this.#takeOver(conversation));
    } else {
      for (const node of open) node.state = "interrupted";
    }
  }

  #changed(conversation = this.conversation) {
    this.#save(conversation);
    if (conversation === this.conversation) this.#say("shown");
  }

  #shown() {
    this.#say("shown");
    this.#say("running");
  }

  async #save(conversation) {
    try {
      if (await this.#keeper.save(conversation)) this.#list(conversation.id, conversation);
    } catch (error) {
      this.#say("trouble", error.message);
    }
  }

  #list(id, conversation) {
    const before = this.list.find((one) => one.id === id);
    const now = conversation && summaryOf(conversation);
    if (JSON.stringify(before ?? null) === JSON.stringify(now ?? null)) return;
    this.list = [...(now ? [now] : []), ...this.list.filter((one) => one.id !== id)].sort((a, b) => b.updated - a.updated);
    this.#say("list");
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
