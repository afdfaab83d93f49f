// A service worker: keeps the page's own files, so that it opens, and its conversations can be read, where the server can't be
// reached. The network comes first, so that nobody sees an old page; nothing else is answered from here.

const CACHE = "youtu-onnx page";
const ROOT = new URL("../", self.location).href;
const STATIC = new URL("./", self.location).href;
const FILES = [
  "announcer.js", "answer.js", "answering.js", "api.js", "app.js", "appearance.js", "attaching.js", "base.css", "chat.js",
  "choices.js", "choosing.js", "composer.js", "connection.js", "conversation.js", "conversations.js", "copying.js", "dom.js",
  "drafts.js", "editor.js", "events.js", "excerpts.js", "exporting.js", "facts.js", "fault.js", "fields.js", "files.js",
  "gates.js", "icon.svg", "icons.js", "importing.js", "keeping.js", "key.js", "language.js", "layout.css",
  "manifest.webmanifest", "markdown.css", "menu.js", "merging.js", "message.js", "message_actions.js", "messages.css",
  "modelling.js", "models.js", "notices.js", "preferences.js", "probabilities.js", "question.js", "rendering.js", "requests.js",
  "retries.js", "runs.js", "sanitize.js", "scrolling.js", "settings.css", "settings.js", "shortcuts.js", "sidebar.js", "sign.js",
  "speed.js", "steps.js", "store.js", "tabs.js", "theme.js", "thread.js", "toast.js", "words.js", "words_en.js", "words_zh.js",
];

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([ROOT, ...FILES.map((name) => STATIC + name)])));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = request.url.replace(/[?#].*$/, "");
  if (request.method !== "GET" || !(address === ROOT || address.startsWith(STATIC))) return;
  event.respondWith(fromNetwork(request, address));
});

async function fromNetwork(request, address) {
  try {
    const response = await fetch(request);
    if (response.ok) (await caches.open(CACHE)).put(address, response.clone());
    return response;
  } catch (error) {
    const kept = await caches.match(address);
    if (!kept) throw error;
    return kept;
  }
}
