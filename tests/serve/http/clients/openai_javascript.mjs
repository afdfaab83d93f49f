// OpenAI's JavaScript client: runTools, parse and stream, with tools and forms made by zod, and what came of them sent back.
// node openai_javascript.mjs URL prints what came of it as JSON.

import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const url = process.argv[2];
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "-", maxRetries: 0 });
const digit = z.number().int().min(0).max(9);
const Numbers = z.object({ a: digit, b: digit });
const common = { model: "youtu-nano", max_tokens: 80, chat_template_kwargs: { enable_thinking: false } };
const user = [{ role: "user", content: "What is 4 + 3?" }];
const found = {};

function adding(calls) {
  return zodFunction({
    name: "add",
    description: "a + b",
    parameters: Numbers,
    function: ({ a, b }) => {
      calls.push({ a, b });
      return String(a + b);
    },
  });
}

for (const stream of [false, true]) {
  const calls = [];
  const runner = client.chat.completions.runTools(
    { ...common, messages: user, tools: [adding(calls)], tool_choice: "required", parallel_tool_calls: false, stream },
    { maxChatCompletions: 2 },
  );
  await runner.done();
  found[stream ? "runTools stream" : "runTools"] = { calls, roles: runner.messages.map((message) => message.role) };
}

const { function: _, ...tool } = adding([]);
const helpers = {
  "parse with tools": () =>
    client.chat.completions.parse({ ...common, messages: user, tools: [adding([])], tool_choice: "required" }),
  "parse with a form": () =>
    client.chat.completions.parse({ ...common, messages: user, response_format: zodResponseFormat(Numbers, "numbers") }),
  "stream with tools": () =>
    client.chat.completions
      .stream({ ...common, messages: user, tools: [adding([])], tool_choice: "required" })
      .finalChatCompletion(),
};
for (const [name, help] of Object.entries(helpers)) {
  const { message } = (await help()).choices[0];
  const results = (message.tool_calls ?? []).map((call) => ({ role: "tool", tool_call_id: call.id, content: "7" }));
  const last = await client.chat.completions.create({ ...common, messages: [...user, message, ...results], max_tokens: 8 });
  found[name] = {
    calls: (message.tool_calls ?? []).map((call) => JSON.parse(call.function.arguments)),
    parsed: message.parsed ?? null,
    then: last.choices[0].finish_reason,
  };
}
console.log(JSON.stringify(found));
