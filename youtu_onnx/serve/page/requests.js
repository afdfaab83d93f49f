// What is sent to the server for an answer.

import { thinkingSwitch } from "./api.js";
import { decided, requestFields } from "./choices.js";
import { messages } from "./conversation.js";

/** How the next answer is asked for; it is kept with the answer. */
export function asked(settings, model) {
  return { ...structuredClone(settings), ...(!thinkingSwitch(model) && { thinking: "auto" }) };
}

/** The body of a request for an answer to a node of the reader's. `begun`: an answer to go on with. */
export function bodyOf(conversation, question, how, model, begun = null) {
  return {
    model,
    messages: [...messages(conversation, question, how.system), ...(begun ? [assistantMessage(begun)] : [])],
    ...requestFields(how),
    ...(decided(how) && { chat_template_kwargs: { enable_thinking: how.thinking === "on" } }),
    ...(begun && { continue_final_message: true }),
  };
}

const assistantMessage = ({ text, thinking }) =>
  ({ role: "assistant", content: text, ...(thinking.trim() && { reasoning_content: thinking }) });
