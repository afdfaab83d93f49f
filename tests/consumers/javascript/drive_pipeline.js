// Runs transformers.js, unmodified, on a folder. A job comes as JSON on stdin, what was found goes as JSON to stdout.
//
// job: {folder, texts, chats, prompts, questions, tokens}

import { env, pipeline, Tensor } from "@huggingface/transformers";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const job = JSON.parse(input);
env.allowRemoteModels = false;
const generator = await pipeline("text-generation", job.folder);
const { tokenizer, model } = generator;

const texts = job.texts.map((text) => {
  const ids = tokenizer.encode(text, { add_special_tokens: false });
  return { ids, text: ids.length ? tokenizer.decode(ids, { clean_up_tokenization_spaces: false }) : "" };
});
const chats = job.chats.map(({ messages, options }) => {
  const chosen = { add_generation_prompt: true, ...options };
  const { input_ids: ids } = tokenizer.apply_chat_template(messages, { ...chosen, return_dict: true, return_tensor: false });
  return { text: tokenizer.apply_chat_template(messages, { ...chosen, tokenize: false }), ids };
});

const logits = [];
for (const ids of job.prompts) {
  const row = (values) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  const out = await model({ input_ids: row(ids), attention_mask: row(ids.map(() => 1)) });
  logits.push(Array.from(out.logits.data.slice(-out.logits.dims[2])));
}
const answers = [];
for (const text of job.questions) {
  const messages = [{ role: "user", content: text }];
  const inputs = tokenizer.apply_chat_template(messages, { add_generation_prompt: true, return_dict: true });
  const made = await model.generate({ ...inputs, max_new_tokens: job.tokens, do_sample: false });
  const [{ generated_text: conversation }] = await generator(messages, { max_new_tokens: job.tokens, do_sample: false });
  answers.push({ ids: made.tolist()[0].slice(inputs.input_ids.dims[1]).map(Number), text: conversation.at(-1).content });
}
console.log(JSON.stringify({ texts, chats, logits, answers, inputs: model.sessions.model.inputNames }));
