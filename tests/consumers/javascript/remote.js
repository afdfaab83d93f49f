// Chromium under remote control, for tests written in Python: requests as JSON lines on stdin, one answer each on stdout.
//
// {do: "open", options}: a fresh browser context and a page in it.   {do: "page", method, args}: page[method](...args)
// {do: "another"}: one more page in that context.   {do: "turn", index}: the page that all else is about, from 0
// {do: "locator", selector, method, args}   {do: "keyboard", method, args}   {do: "context", method, args}
// {do: "cdp", method, args: [parameters]}: the DevTools protocol   {do: "downloads"}: [{name, path}]
// {do: "seen"}: the hosts asked and the faults since the page was opened
// The first line: {chromium, flags}.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { watch } from "./watch.js";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { chromium: executablePath, flags } = JSON.parse((await lines.next()).value);
const browser = await chromium.launch({ executablePath, headless: true, args: flags });
let context, page, cdp, pages, seen, downloads;

async function open(options) {
  await context?.close();
  context = await browser.newContext({ acceptDownloads: true, ...options });
  context.setDefaultTimeout(60_000); // a machine may be busy
  pages = [];
  seen = [];
  downloads = [];
  await another();
}

async function another() {
  page = await context.newPage();
  pages.push(page);
  cdp = await context.newCDPSession(page);
  seen.push(watch(page));
  page.on("download", (download) => downloads.push(download));
}

async function turn(index) {
  page = pages[index];
  cdp = await context.newCDPSession(page);
  await page.bringToFront();
}

async function answer({ do: what, options, index, selector, method, args = [] }) {
  if (what === "open") return open(options);
  if (what === "another") return another();
  if (what === "turn") return turn(index);
  if (what === "seen") {
    return { hosts: [...new Set(seen.flatMap((one) => one.hosts()))], faults: seen.flatMap((one) => one.faults) };
  }
  if (what === "downloads") {
    return Promise.all(downloads.map(async (one) => ({ name: one.suggestedFilename(), path: await one.path() })));
  }
  if (what === "cdp") return cdp.send(method, ...args);
  const target = { page, context, keyboard: page.keyboard, mouse: page.mouse }[what] ?? page.locator(selector);
  return target[method](...args);
}

for await (const line of lines) {
  let reply;
  try {
    const value = await answer(JSON.parse(line));
    reply = JSON.stringify({ value: value ?? null }, (_, item) => (item?.constructor?.name === "Response" ? null : item));
  } catch (error) {
    reply = JSON.stringify({ error: String(error.stack ?? error) });
  }
  console.log(reply);
}
await browser.close();
