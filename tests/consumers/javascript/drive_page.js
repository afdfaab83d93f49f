// Drives the chat page in Chromium as a person would. A job comes as JSON on stdin, what was seen goes as JSON to stdout.
//
// job: {chromium, flags, profile, url, questions, texts, chats, logits, thoughts, stopAt, folder, emptyUrl, picture}; all but the
// first four may be left out.

import { chromium } from "playwright-core";
import { watch } from "./watch.js";

const PATIENCE = { timeout: 240_000 }; // a GPU in software takes its time

async function settled(page) {
  await page.waitForFunction(() => ["ready", "choose", "failed"].includes(document.documentElement.dataset.state), null, PATIENCE);
  return page.evaluate(() => ({ state: document.documentElement.dataset.state, error: document.querySelector("#error").textContent }));
}

/** Type, press Enter, and wait for the end of the answer; what the page then holds of it. */
async function ask(page, text) {
  const before = await page.evaluate(() => youtu.replies.length);
  await page.fill("#text", text);
  await page.press("#text", "Enter");
  await page.waitForFunction((count) => youtu.replies.length > count && document.documentElement.dataset.state === "ready", before,
    PATIENCE);
  return page.evaluate(() => {
    const shown = [...document.querySelectorAll(".assistant")].at(-1);
    const asked = [...document.querySelectorAll(".user")].at(-1);
    return {
      reply: youtu.replies.at(-1), answer: shown.querySelector(".answer").textContent,
      thinking: shown.querySelector(".thinking").textContent, folded: !shown.querySelector("details").open,
      facts: shown.querySelector(".facts").textContent, asked: asked.textContent, elementsInside: asked.childElementCount,
    };
  });
}

/** Press the stop button as soon as the answer shows its first words; it also counts the changes on the way there. */
async function stopped(page, text) {
  const before = await page.evaluate(() => {
    const observer = new MutationObserver(() => {
      if (document.querySelector(".assistant:last-child .thinking")?.textContent.length > 0) {
        observer.disconnect();
        document.querySelector("#stop").click();
      }
    });
    observer.observe(document.querySelector("#messages"), { subtree: true, childList: true, characterData: true });
    return youtu.replies.length;
  });
  await page.fill("#text", text);
  await page.click("#send");
  await page.waitForFunction((count) => youtu.replies.length > count, before, PATIENCE);
  return page.evaluate(() => youtu.replies.at(-1));
}

/** What the page shows of thoughts that come in pieces, to whom they are steps: before the last piece, and then. */
function stepwise(page, pieces) {
  return page.evaluate(async (texts) => {
    const [{ Conversation }, { WORDS }] = await Promise.all([import("./conversation.js"), import("./words.js")]);
    const conversation = new Conversation(document.createElement("section"));
    conversation.stepwise = true;
    const message = conversation.assistant(WORDS.en);
    const seen = () => ({
      steps: [...message.box.querySelectorAll(".numbered > li")].map((line) => line.textContent.trimEnd()),
      open: message.box.querySelector("details").open, summary: message.summary.textContent,
    });
    for (const text of texts.slice(0, -1)) message.piece({ kind: "thinking", text });
    const before = seen();
    message.piece({ kind: "thinking", text: texts.at(-1) });
    message.piece({ kind: "answer", text: "\n42" });
    return [before, seen()];
  }, pieces);
}

async function see(page, job) {
  const seen = { settled: await settled(page) };
  if (seen.settled.state !== "ready") return seen;
  seen.bundle = await page.evaluate(() => youtu.bundle);
  seen.texts = await page.evaluate(async (texts) => {
    const found = [];
    for (const text of texts) {
      const ids = await youtu.encode(text, { special: true });
      found.push({ ids, text: await youtu.decode(ids) });
    }
    return found;
  }, job.texts ?? []);
  seen.chats = await page.evaluate(async (chats) => {
    const found = [];
    for (const { messages, options } of chats) found.push(await youtu.prompt(messages, options));
    return found;
  }, job.chats ?? []);
  seen.logits = await page.evaluate(async (prompts) => {
    const found = [];
    for (const ids of prompts) found.push(Array.from(await youtu.logits(ids)));
    return found;
  }, job.logits ?? []);
  if (job.thoughts) seen.stepwise = await stepwise(page, job.thoughts);
  seen.answers = [];
  for (const { text, fresh } of job.questions ?? []) {
    if (fresh) await page.click("#fresh");
    seen.answers.push(await ask(page, text));
  }
  if (job.picture) {
    await page.locator("details").last().evaluate((details) => { details.open = true; });
    await page.evaluate(() => document.activeElement.blur());
    await page.mouse.move(1, 300); // away from the buttons
    await page.screenshot({ path: job.picture });
  }
  if (job.stopAt) {
    await page.click("#fresh");
    seen.stopped = await stopped(page, job.stopAt);
  }
  if (job.folder) {
    await page.goto(job.emptyUrl);
    seen.empty = await settled(page);
    await page.setInputFiles("#folder", job.folder);
    await page.waitForFunction(() => document.documentElement.dataset.state !== "choose");
    seen.chosen = { ...(await settled(page)), answer: (await ask(page, job.questions[0].text)).reply.ids };
  }
  return seen;
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
const job = JSON.parse(input);
const context = await chromium.launchPersistentContext(job.profile, {
  executablePath: job.chromium, headless: true, args: job.flags, viewport: job.viewport ?? { width: 900, height: 700 },
  colorScheme: job.colorScheme ?? "light", locale: job.locale ?? "en-US",
});
const page = context.pages()[0] ?? (await context.newPage());
const { hosts, faults } = watch(page);
await page.goto(job.url);
const seen = await see(page, job);
await context.close();
console.log(JSON.stringify({ ...seen, hosts: hosts(), faults }));
