// Vercel's AI SDK, through OpenAI's provider (both of its APIs) and the one for servers that are like it: a loop of tools, whole and streamed, and an
// object. node vercel_ai.mjs URL prints what came of it as JSON.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const url = process.argv[2];
const baseURL = `${url}/v1`;
const digit = z.number().int().min(0).max(9);
const Numbers = z.object({ a: digit, b: digit });
const openai = createOpenAI({ baseURL, apiKey: "-" });
const models = {
  openai: openai.chat("youtu-nano"),
  responses: openai.responses("youtu-nano"),
  compatible: createOpenAICompatible({ name: "youtu", baseURL, supportsStructuredOutputs: true })("youtu-nano"),
};
const found = {};

for (const [name, model] of Object.entries(models)) {
  for (const stream of [false, true]) {
    const calls = [];
    const add = tool({
      description: "a + b",
      inputSchema: Numbers,
      strict: true,
      execute: async ({ a, b }) => {
        calls.push({ a, b });
        return { sum: a + b };
      },
    });
    const asked = {
      model,
      system: "You add numbers.",
      prompt: "What is 4 + 3?",
      tools: { add },
      maxOutputTokens: 150,
      maxRetries: 0,
      stopWhen: stepCountIs(2),
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
    };
    const made = stream ? streamText(asked) : await generateText(asked);
    if (stream) await made.consumeStream({ onError: (error) => { throw error; } });
    const steps = await made.steps;
    found[`${name}${stream ? " stream" : ""}`] = { calls, finishes: steps.map((step) => step.finishReason) };
  }
  const object = await generateText({
    model,
    prompt: "Two numbers, please.",
    maxOutputTokens: 150,
    maxRetries: 0,
    output: Output.object({ schema: Numbers }),
  });
  found[`${name} object`] = object.output;
}
console.log(JSON.stringify(found));
