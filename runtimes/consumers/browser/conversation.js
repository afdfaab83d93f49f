// The messages on the page. Everything that a person or the model wrote is put in as text, never as HTML.

import { Steps } from "./steps.js";

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

export class Conversation {
  /** @type {{role: string, content: string}[]} as the chat template reads them */
  messages = [];
  /** Whether thoughts are steps to be followed: numbered, and unfolded. */
  stepwise = false;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.list = list;
  }

  clear() {
    this.messages = [];
    this.list.replaceChildren();
  }

  user(text) {
    this.messages.push({ role: "user", content: text });
    this.list.append(element("div", "message user", text));
    this.follow(true);
  }

  /** An empty message of the model's, to be filled piece by piece. */
  assistant(words) {
    return new AssistantMessage(this, words);
  }

  /** Keep the end in view, unless the reader scrolled up. */
  follow(always = false) {
    const page = document.scrollingElement;
    if (always || page.scrollHeight - page.scrollTop - page.clientHeight < 120) page.scrollTop = page.scrollHeight;
  }
}

/** Of the rows that layers would have if each kept one for each token. */
function share({ tokens, rows }) {
  return rows.reduce((total, one) => total + one, 0) / rows.length / tokens;
}

class AssistantMessage {
  constructor(conversation, words) {
    this.conversation = conversation;
    this.words = words;
    this.box = element("div", "message assistant waiting");
    this.thoughts = element("details", "thoughts");
    this.thoughts.hidden = true;
    this.thoughts.open = conversation.stepwise;
    this.summary = element("summary", "", words.thinking);
    const list = element("ol", conversation.stepwise ? "thinking numbered" : "thinking");
    this.thinking = new Steps(list);
    this.thoughts.append(this.summary, list);
    this.answer = element("div", "answer");
    this.facts = element("div", "facts");
    this.box.append(this.thoughts, this.answer, this.facts);
    conversation.list.append(this.box);
    conversation.follow(true);
  }

  piece({ kind, text }) {
    this.box.classList.remove("waiting");
    if (kind === "thinking") {
      this.thoughts.hidden = false;
      this.thinking.append(this.thinking.count ? text : text.trimStart());
    } else if (kind === "answer") {
      this.summary.textContent = this.thoughtWord;
      this.answer.append(this.answer.textContent ? text : text.trimStart());
    }
    this.conversation.follow();
  }

  /** What the thoughts are called when they are there. */
  get thoughtWord() {
    return this.conversation.stepwise ? `${this.words.steps} · ${this.thinking.count}` : this.words.thought;
  }

  finish(result) {
    const { words } = this;
    const facts = [`${result.ids.length} ${words.tokens}`];
    if (result.tokensPerSecond) facts.push(`${result.tokensPerSecond.toFixed(result.tokensPerSecond < 10 ? 1 : 0)} ${words.rate}`);
    if (result.cached) facts.push(`${Math.round(100 * share(result.cached))} % ${words.kept}`);
    if (result.finishReason === "cancelled") facts.push(words.stopped);
    if (result.finishReason === "length") facts.push(words.cut);
    this.box.classList.remove("waiting");
    this.thinking.replace(result.thinking);
    this.summary.textContent = this.thoughtWord;
    this.answer.textContent = result.answer;
    this.facts.textContent = facts.join(" · ");
    this.conversation.messages.push({ role: "assistant", content: result.answer, reasoning_content: result.thinking });
    this.conversation.follow();
  }

  fail(message) {
    this.box.classList.remove("waiting");
    this.box.classList.add("failed");
    this.answer.textContent = message;
    this.conversation.messages.pop(); // the question was not answered: it may be asked again
  }
}
