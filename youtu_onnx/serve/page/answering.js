// One answer as it is written: what of a stream goes into its node, and what is known before its first word.

import { ApiError, chat as ask, models } from "./api.js";
import { noticePiece } from "./speed.js";

const SAVE_EVERY = 400; // milliseconds: what a reload may lose of a half-written answer

const SILENCE = 700; // milliseconds without a word, after which the server is asked whether it loads the model

/** What an answer's node is when it begins. */
export const begun = (model, how) => ({ role: "assistant", text: "", thinking: "", state: "running", model, asked: how,
  times: { began: Date.now() }, finish: null, usage: null, error: null });

/** What of it is anew when it goes on where it ended. */
export const goingOn = (node) => ({ state: "running", finish: null, error: null, usage: null, pieces: 0, rate: null,
  thought: node.thought ?? (node.times?.answer && node.times.first ? node.times.answer - node.times.first : undefined),
  before: (node.before ?? 0) + (node.usage?.completion_tokens ?? node.pieces ?? 0), times: { began: Date.now() } });

/**
 * Read a stream into a run's node. `heard`: called at each piece; `save`: called a few times a second; connection: of the page.
 *
 * The node's state says how it ended.
 */
export async function stream(run, body, { heard, save, connection }) {
  const { node, abort } = run;
  let timer = null;
  const silence = setTimeout(() => noticeLoading(run, heard), SILENCE);
  try {
    for await (const event of ask(body, abort.signal)) {
      run.begun = true;
      if (event.queue !== undefined || event.progress) {
        run.sign = event.progress ? { progress: event.progress } : { queue: event.queue };
      } else {
        run.sign = null;
        fold(node, event);
        timer ??= setTimeout(() => {
          timer = null;
          save();
        }, SAVE_EVERY);
      }
      heard();
    }
    node.state = "done";
    connection.found();
  } catch (error) {
    end(node, error, abort.signal);
    if (node.error?.kind === "gone" || node.error?.kind === "cut") connection.lost();
  } finally {
    clearTimeout(silence);
    clearTimeout(timer); // it is saved as a whole now
    run.begun = true;
    run.sign = null;
    node.times.ended = Date.now();
  }
}

/** A server with several models loads one when it is asked for, and answers nothing meanwhile. */
async function noticeLoading(run, heard) {
  if (run.begun) return;
  const found = await models().catch(() => []);
  if (run.begun || found.find(({ id }) => id === run.node.model)?.loaded !== false) return;
  run.sign = { loading: true };
  heard();
}

export function end(node, error, signal) {
  if (signal.aborted) {
    node.state = "stopped";
  } else if (error instanceof ApiError) {
    const { kind, message, status, retryAfter, code, param } = error;
    node.state = "failed";
    node.error = { kind, message, status, retryAfter, code, param };
  } else {
    throw error;
  }
}

function fold(node, { thinking, text, tokens, finish, usage, rate, together }) {
  if (thinking || text) {
    const now = Date.now();
    noticePiece(node.times, now, together);
    if (text) node.times.answer ??= now;
    node.pieces = (node.pieces ?? 0) + 1;
  }
  if (thinking) node.thinking += thinking;
  if (text) node.text += text;
  if (tokens) (node.tokens ??= []).push(...tokens.map(compact));
  if (finish) node.finish = finish;
  if (usage) node.usage = usage;
  if (rate) node.rate = rate;
}

/** [text, log probability, those that were likely too]; a token's bytes may be half a letter. */
const compact = ({ token, logprob, top_logprobs: likely }) =>
  [token, logprob, (likely ?? []).map((one) => [one.token, one.logprob])];
