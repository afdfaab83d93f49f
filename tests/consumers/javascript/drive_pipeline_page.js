// Opens pipeline.html in Chromium and waits for its answer. job: {chromium, flags, profile, url}, as JSON on stdin.

import { chromium } from "playwright-core";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const job = JSON.parse(input);
const context = await chromium.launchPersistentContext(job.profile, { executablePath: job.chromium, args: job.flags, headless: true });
const page = context.pages()[0] ?? (await context.newPage());
const hosts = new Set();
page.on("request", (request) => hosts.add(new URL(request.url()).host));
await page.goto(job.url);
await page.waitForFunction(() => window.found !== undefined, null, { timeout: 240_000 });
const found = await page.evaluate(() => window.found);
await context.close();
console.log(JSON.stringify({ ...found, hosts: [...hosts].filter(Boolean) }));
