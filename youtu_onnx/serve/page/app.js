// Puts the page together.

import { Announcer } from "./announcer.js";
import { chooseLanguage, chooseTheme, listenForSwitches } from "./appearance.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { exportAll, listenForImports, openConversationMenu } from "./conversations.js";
import { copy, toClipboard } from "./copying.js";
import { $ } from "./dom.js";
import { speak, translate, words } from "./language.js";
import { Models } from "./models.js";
import { apiKey, keeping, preference } from "./preferences.js";
import { Renderer } from "./rendering.js";
import { openSettings, redrawSettings } from "./settings.js";
import { listenForShortcuts } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./store.js";
import { Thread } from "./thread.js";
import { toast } from "./toast.js";

speak(preference("language"));
const store = new Store();
const connection = new Connection();
const chat = new Chat(store, connection);
const models = new Models(chat, connection);
const renderer = new Renderer();

const page = {
  chat, renderer, copy, open, fork, take,
  search: (wanted) => store.search(wanted, chat.list.map(({ id }) => id)),
  useKey: (key) => models.useKey(key),
  explains: models.explains,
  fill: (text) => composer.fill(text),
  menu: (id, button) => openConversationMenu(whole, id, button),
  editNode: (id) => thread.edit(id),
  afresh: ({ text, files = [] }) => { fresh(); composer.fill(text, files); },
};
const whole = { chat, remove, rename: (id) => sidebar.rename(id),
  copyText: async (text) => toast(words((await toClipboard(text)) ? "copied" : "notCopied")) };
translate();
const thread = new Thread(page);
const composer = new Composer(chat, { onsend: () => thread.follow(), oneditlast: () => thread.editLast() });
const sidebar = new Sidebar(page);
new Announcer(chat);

models.addEventListener("change", () => {
  composer.update();
  if (models.found.some((model) => model.steps)) thread.show();
});
models.addEventListener("back", () => renderer.again());

// --- conversations ---

async function open(id) {
  if (location.hash.slice(1) !== id) history.pushState(null, "", `#${id}`);
  sidebar.close();
  if (id !== chat.conversation.id && !(await chat.open(id))) fresh();
}

function fresh() {
  if (location.hash) history.pushState(null, "", location.pathname + location.search);
  sidebar.close();
  chat.fresh();
  composer.focus();
}

async function fork(node) {
  await open(await chat.fork(node, words("forked", { title: chat.conversation.title })));
  composer.focus();
}

/** Take a message away, until it is asked back. */
function take(node) {
  const back = chat.take(node);
  if (back) toast(words("messageRemoved"), { words: words("undo"), run: back });
}

async function remove(id) {
  const current = id === chat.conversation.id;
  const removed = await chat.remove(id);
  if (current) fresh();
  toast(words("removed", { title: removed.title }), { words: words("undo"), run: async () => {
    await chat.restore(removed);
    await open(removed.id);
  } });
}

async function removeAll() {
  await chat.removeAll();
  $("settings").close();
  fresh();
}

function title() {
  const name = chat.conversation.title;
  $("title").textContent = name || words("newConversation");
  document.title = name ? `${name} · Youtu` : "Youtu";
  $("actions").disabled = !chat.list.some((one) => one.id === chat.conversation.id);
}

for (const type of ["shown", "list", "titled"]) chat.addEventListener(type, title);
chat.addEventListener("running", () => {
  const { id } = chat.conversation;
  if (chat.run && location.hash.slice(1) !== id) history.pushState(null, "", `#${id}`);
});
chat.addEventListener("trouble", ({ detail }) => toast(words("notSaved", { message: detail })));
store.addEventListener("blocked", () => toast(words("oldTabs")));
keeping.addEventListener("refused", () => toast(words("settingsNotKept")));
addEventListener("popstate", async () => {
  const id = location.hash.slice(1);
  if (!id || !(await chat.open(id))) chat.fresh();
});
listenForImports(chat, open);

// --- settings, keys and buttons ---

function inOtherWords() {
  composer.translate();
  thread.rebuild();
  sidebar.draw();
  title();
  models.say();
  models.choose(chat.model?.id);
  redrawSettings(settingsActions);
}

const settingsActions = {
  settings: () => chat.settings,
  adjust: (change) => chat.adjust(change),
  defaults: () => chat.model?.defaults ?? {},
  themeChosen: chooseTheme,
  languageChosen: (language) => chooseLanguage(language, inOtherWords),
  keyChosen: (key) => (key === apiKey() ? null : models.useKey(key)),
  exportAll: () => exportAll(store),
  importFiles: () => $("import").click(),
  removeAll,
};

const actions = {
  fresh,
  settings: () => { sidebar.close(); openSettings(settingsActions); },
  list: () => sidebar.toggle(),
  focus: () => composer.focus(),
  escape: () => {
    if (sidebar.close()) return true;
    const something = Boolean(chat.run || chat.waiting);
    chat.stop();
    return something;
  },
};
listenForShortcuts(actions);
listenForSwitches(inOtherWords);
for (const id of ["new", "new-short"]) $(id).addEventListener("click", actions.fresh);
for (const id of ["settings-open", "settings-from-list", "asked"]) $(id).addEventListener("click", actions.settings);
$("settings").addEventListener("close", () => composer.update());
$("actions").addEventListener("click", () => page.menu(chat.conversation.id, $("actions")));
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  composer.focus();
});

// --- the start ---

/** What the address asks (?q=…) is sent once the models are known, and is not asked again by a reload. */
async function askFromAddress() {
  const question = new URLSearchParams(location.search).get("q")?.trim();
  if (!question) return;
  history.replaceState(null, "", location.pathname);
  chat.fresh();
  await asking;
  chat.send(question);
}

await store.open();
if (!store.lasting) toast(words("noStorage"));
await chat.refresh();
if (!location.hash || !(await chat.open(location.hash.slice(1)))) chat.fresh();
const asking = models.ask();
askFromAddress();
if (matchMedia("(pointer: fine)").matches) composer.focus();
if (window.isSecureContext) navigator.serviceWorker?.register("static/worker.js", { scope: "./" }).catch(() => {}); // it can do without
document.documentElement.dataset.ready = "true";
