// The server's HTTP interface. Every address is relative: the page may lie behind a path prefix.

import { serverSentEvents } from "./events.js";
import { apiKey } from "./preferences.js";

/**
 * What went wrong, by what can be done about it. kind: gone (no connection), cut (it broke in mid-answer), key (401, 403),
 * busy (429, 503), refused (other 4xx), failed (the rest). retryAfter: seconds, or null. code, param: OpenAI's, or null.
 */
export class ApiError extends Error {
  constructor(kind, message, { status = 0, retryAfter = null, code = null, param = null } = {}) {
    super(message);
    Object.assign(this, { name: "ApiError", kind, status, retryAfter, code, param });
  }
}

let tellsProgress = true; // until a server refuses to

export async function models() {
  const found = (await json("v1/models"))?.data;
  if (!Array.isArray(found) || !found.every((model) => typeof model?.id === "string")) {
    throw new ApiError("failed", "v1/models: not a list of models");
  }
  return found;
}

/** Whether thinking can be switched on and off; where the server doesn't say, it may be tried. */
export const thinkingSwitch = (model) => (model?.thinking ?? model?.thinking_switch) !== false;

/** HTML of a Markdown text. Not to be trusted: see sanitize.js. */
export async function render(markdown) {
  const html = (await json("render", { method: "POST", body: { markdown } }))?.html;
  if (typeof html !== "string") throw new ApiError("failed", "render: no html");
  return html;
}

/** Of an answer to messages: { steps, tokens, kept }. Only of models with `steps`. */
export async function explain(body) {
  const found = await json("explain", { method: "POST", body });
  if (!Array.isArray(found?.steps?.lines) || !Array.isArray(found.tokens)) throw new ApiError("failed", "explain: no steps");
  return found;
}

/** "ok"; "starting" where the server answers that it isn't ready; "gone". */
export async function health() {
  try {
    return (await fetch("health", { cache: "no-store" })).ok ? "ok" : "starting";
  } catch {
    return "gone";
  }
}

/**
 * Yields { queue } (its place in the queue, 1: the next), { progress: { total, cache, processed } } (tokens of the prompt), { thinking },
 * { text, tokens }, { finish }, { usage } and { rate } as they come; returns at [DONE]. `together`: how many came in one piece of
 * the stream, as they do after the page or the network stood still.
 *
 * Throws ApiError; AbortError where the signal ended it.
 */
export async function* chat(body, signal) {
  const response = await begin(body, signal);
  let finished = false;
  try {
    for await (const several of serverSentEvents(response.body)) {
      for (const data of several) {
        if (data === "[DONE]") return;
        for (const event of eventsOf(JSON.parse(data))) {
          finished ||= Boolean(event.finish);
          yield { ...event, together: several.length };
        }
      }
    }
  } catch (error) {
    if (error instanceof ApiError || signal.aborted) throw error;
    throw new ApiError("cut", error.message);
  }
  if (!finished) throw new ApiError("cut", "the stream ended without [DONE]");
}

async function begin(body, signal) {
  const whole = { ...body, stream: true, stream_options: { include_usage: true } };
  const send = () => ask("v1/chat/completions", {
    method: "POST", signal, body: tellsProgress ? { ...whole, return_progress: true } : whole,
  });
  try {
    return await send();
  } catch (error) {
    if (error.param !== "return_progress" || !tellsProgress) throw error;
    tellsProgress = false;
    return send();
  }
}

function eventsOf(chunk) {
  if (chunk.error) throw new ApiError("failed", String(chunk.error.message ?? chunk.error));
  const [choice] = chunk.choices ?? [];
  const { reasoning_content: thinking, content: text } = choice?.delta ?? {};
  return [
    chunk.queue && { queue: chunk.queue.position },
    chunk.prompt_progress && { progress: chunk.prompt_progress },
    thinking && { thinking },
    text && { text, tokens: choice.logprobs?.content },
    choice?.finish_reason && { finish: choice.finish_reason },
    chunk.usage && { usage: chunk.usage },
    chunk.timings?.predicted_per_second && { rate: chunk.timings.predicted_per_second },
  ].filter(Boolean);
}

async function ask(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("gone", error.message);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** The JSON of an answer, whose connection may break after its first line, too. */
async function json(path, options) {
  const response = await ask(path, options);
  try {
    return await response.json();
  } catch (error) {
    throw new ApiError(error instanceof SyntaxError ? "failed" : "gone", `${path}: ${error.message}`);
  }
}

async function refusal(response) {
  const { status } = response;
  const error = await response.json().then((found) => found.error).catch(() => null);
  const message = String(error?.message ?? `HTTP ${status}`);
  const kind = status === 401 || status === 403 ? "key" : status === 429 || status === 503 ? "busy"
    : status === 502 || status === 504 ? "gone" : status < 500 ? "refused" : "failed";
  const after = response.headers.get("Retry-After");
  const seconds = /^\d+(\.\d+)?$/.test(after ?? "") ? Number(after) : (Date.parse(after) - Date.now()) / 1000;
  return new ApiError(kind, message, { status, retryAfter: Number.isFinite(seconds) ? Math.max(0, seconds) : null,
    code: error?.code ?? null, param: error?.param ?? null });
}
