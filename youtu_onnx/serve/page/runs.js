// The answers that are being written, one in a conversation at most.

import { end, stream } from "./answering.js";
import { bodyOf } from "./requests.js";
import { whileAlone, writtenElsewhere } from "./tabs.js";

export class Runs {
  #of = new Map(); // conversation id → { conversation, node, abort, sign, begun }
  #connection;
  #hooks;

  /** hooks, each given a conversation and a node: heard (a piece came), save, takeOver (what other tabs wrote), ended. */
  constructor(connection, hooks) {
    this.#connection = connection;
    this.#hooks = hooks;
  }

  of = (id) => this.#of.get(id) ?? null;

  ids = () => [...this.#of.keys()];

  drop(id) {
    this.of(id)?.abort.abort();
    this.#of.delete(id);
  }

  /** Write an answer into a node; resolves when it has ended. from: the node as it was, to go on with. */
  async start(conversation, question, node, from = null) {
    const run = { conversation, node, abort: new AbortController(), sign: null, begun: false };
    this.#of.set(conversation.id, run);
    await this.#alone(run, question, from);
    if (this.of(conversation.id) !== run) return; // deleted meanwhile
    this.#of.delete(conversation.id);
    this.#hooks.ended(conversation, node, Boolean(from));
  }

  /** Once no other tab writes here, with what it wrote. */
  async #alone(run, question, from) {
    const { conversation, node, abort } = run;
    const { heard, save, takeOver } = this.#hooks;
    const waits = await writtenElsewhere(conversation.id);
    if (waits) {
      run.sign = { tab: true };
      heard(conversation, node);
    }
    try {
      await whileAlone(conversation.id, abort.signal, async () => {
        run.sign = null;
        if (waits) await takeOver(conversation);
        node.times.began = Date.now();
        await stream(run, bodyOf(conversation, question, node.asked, node.model ?? undefined, from),
          { heard: () => heard(conversation, node), save: () => save(conversation), connection: this.#connection });
        await save(conversation); // all of it, before another tab may read
      });
    } catch (error) {
      end(node, error, abort.signal);
      await save(conversation);
    }
  }
}
