// Messages → prompt tokens, through the bundle's own chat template, with the Template class of npm @huggingface/jinja.
//
// Nothing that a message says can act as a control token: a literal <|Assistant|> in a user's text is swapped for a random word
// before rendering and comes back, as ordinary characters, when the rendered text is tokenized.

const REASONING_FIELDS = ["reasoning_content", "thinking", "reasoning"];
/** Tokens that an assistant's own text may hold: its thinking and its calls; never roles, ends or tool results. */
const OWN_TAG = /^<\/?(think|tool_calls?|function(_call)?|parameter|arg_(key|value))\b[^<|>]*>$/;

export class ChatTemplate {
  /**
   * @param {Function} library the Template class
   * @param {string} source the template
   * @param {import("./tokenizer.js").Tokenizer} tokenizer
   */
  constructor(library, source, tokenizer) {
    this.template = new library(source);
    this.tokenizer = tokenizer;
  }

  /**
   * @param {{role: string, content: string}[]} messages
   * @param {{add_generation_prompt?: boolean, enable_thinking?: boolean, tools?: object[]}} [options] as in transformers
   * @returns {{text: string, ids: number[], thinking: boolean}} thinking: the prompt ends inside an open <think>
   */
  prompt(messages, options = {}) {
    const cleaned = cleanMessages(messages);
    const { add_generation_prompt = true, tools, ...rest } = options;
    const nonce = unusedWord(JSON.stringify([cleaned, tools]));
    const own = Object.values(this.tokenizer.named);
    const literals = [];
    const swap = (value, assistants = false) => {
      if (typeof value === "string") {
        if (this.tokenizer.hidesLiterals(value.replace(this.tokenizer.addedPattern, " "))) {
          literals.push(value); // where in the text it is, the library doesn't say
          return `${nonce}${literals.length - 1}z`;
        }
        return value.replace(this.tokenizer.addedPattern, (literal) => {
          if (assistants && OWN_TAG.test(literal) && !own.includes(literal)) return literal;
          literals.push(literal);
          return `${nonce}${literals.length - 1}z`;
        });
      }
      if (Array.isArray(value)) return value.map((item) => swap(item));
      if (value === null || typeof value !== "object") return value;
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [swap(key), swap(item)]));
    };
    const swapped = cleaned.map((message) => Object.fromEntries(Object.entries(message).map(([key, value]) => {
      const assistants = message.role === "assistant" && (key === "content" || REASONING_FIELDS.includes(key));
      return [key, swap(value, assistants)];
    })));
    const marked = this.#render({
      messages: swapped, ...(tools ? { tools: swap(tools) } : {}), add_generation_prompt, ...this.tokenizer.named, ...rest,
    });
    let text = "";
    const ids = [];
    marked.split(new RegExp(`${nonce}([0-9]+)z`)).forEach((piece, position) => {
      const isLiteral = position % 2 === 1;
      const part = isLiteral ? literals[Number(piece)] : piece;
      text += part;
      for (const id of this.tokenizer.encode(part, { special: !isLiteral })) ids.push(id);
    });
    return { text, ids, thinking: add_generation_prompt && marked.trimEnd().endsWith("<think>") };
  }

  #render(variables) {
    try {
      return this.template.render(variables);
    } catch (error) {
      // A template is a program: it refuses messages, or uses what this library of Jinja hasn't got.
      throw new Error(`the chat template can't be rendered: ${error.message}`);
    }
  }
}

/** Copies without null fields; lists of text parts are joined; thinking gets its standard name. */
function cleanMessages(messages) {
  if (!Array.isArray(messages) || messages.length === 0) throw new TypeError("the conversation has no messages");
  return messages.map((message, index) => {
    if (typeof message?.role !== "string" || !message.role) throw new TypeError(`message ${index + 1} has no role`);
    const fields = Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null && value !== undefined));
    if ("content" in fields) {
      fields.content = textOf(fields.content, index + 1);
    } else if (!("tool_calls" in fields)) {
      throw new TypeError(`message ${index + 1} has no content`);
    }
    const reasoning = REASONING_FIELDS.map((name) => fields[name]).find((value) => value !== undefined);
    return reasoning === undefined ? fields : { thinking: reasoning, ...fields, reasoning_content: reasoning };
  });
}

function textOf(content, number) {
  if (typeof content === "string") return content;
  if (Array.isArray(content) && content.every((part) => typeof part?.text === "string")) {
    return content.map((part) => part.text).join("");
  }
  throw new TypeError(`the content of message ${number} is not text`);
}

/** A word of letters that doesn't occur in the text; it is random, so no message can foresee it. */
function unusedWord(text) {
  for (;;) {
    const letters = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => String.fromCharCode(97 + (byte & 15)));
    const word = `q${letters.join("")}x`;
    if (!text.includes(word)) return word;
  }
}
