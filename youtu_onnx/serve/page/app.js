// Puts the page together.

import { models } from "./api.js";
import { Announcer } from "./announcer.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { copy } from "./copying.js";
import { $, el, icon } from "./dom.js";
import { asJson, asMarkdown, download, fileName } from "./exporting.js";
import { keyForm } from "./key.js";
import { speak, spoken, translate, words } from "./language.js";
import { openMenu } from "./menu.js";
import { apiKey, keeping, prefer, preference, useApiKey } from "./preferences.js";
import { Renderer } from "./rendering.js";
import { openSettings, redrawSettings } from "./settings.js";
import { listenForShortcuts } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./store.js";
import { Thread } from "./thread.js";
import { toast } from "./toast.js";
import { WORDS } from "./words.js";

const THEMES = ["system", "light", "dark"];
const THEME_ICONS = { system: "screen", light: "sun", dark: "moon" };

speak(preference("language"));
const store = new Store();
const connection = new Connection();
const chat = new Chat(store, connection);
const renderer = new Renderer();
let found = []; // the server's models
let banner = null; // "key", "gone", "starting", "back" or null

const page = { chat, renderer, copy, useKey, open, search: (wanted) => store.search(wanted, chat.list.map(({ id }) => id)), fill: (text) => composer.fill(text), menu: conversationMenu,
  explains: (id) => found.some((model) => model.id === id && model.steps) };
translate();
const thread = new Thread(page);
const composer = new Composer(chat, { onsend: () => thread.follow(), oneditlast: () => thread.editLast() });
const sidebar = new Sidebar(page);
new Announcer(chat);

// --- models, key and connection ---

async function askForModels() {
  try {
    found = await models();
    connection.found();
    say(banner === "back" ? "back" : null);
  } catch (error) {
    if (error.kind === "key") say("key");
    else if (error.kind === "gone") connection.lost();
    else if (error.kind === "busy") connection.lost("starting");
    else toast(words("errorFailed", { message: error.message }));
  }
  chooseModel(preference("model"));
  if (found.some((model) => model.steps)) thread.show();
}

function chooseModel(id) {
  chat.model = found.find((model) => model.id === id) ?? found[0] ?? null;
  const place = $("model-place");
  if (found.length > 1) {
    const select = el("select", { id: "model", "aria-label": words("model"), onchange: ({ target }) => {
      prefer("model", target.value);
      chooseModel(target.value);
    } }, ...found.map((model) => el("option", { value: model.id }, model.id)));
    select.value = chat.model.id;
    place.replaceChildren(el("span", { class: "pill" }, select));
  } else {
    place.replaceChildren(...(chat.model ? [el("span", { class: "model-name", title: words("model") }, chat.model.id)] : []));
  }
  composer.update();
}

function useKey(key) {
  useApiKey(key);
  askForModels();
  renderer.again();
}

connection.addEventListener("change", async ({ detail }) => {
  if (detail !== "ok") return say(detail);
  if (banner === "gone" || banner === "starting") say("back");
  renderer.again();
  if (!found.length) await askForModels();
});

function say(what) {
  banner = what;
  const box = $("banner");
  box.hidden = !what;
  box.className = what ?? "";
  if (what === "key") box.replaceChildren(icon("key"), keyForm(useKey));
  else if (what) box.replaceChildren(words({ gone: "bannerGone", starting: "bannerStarting", back: "bannerBack" }[what]));
  if (what === "back") setTimeout(() => banner === "back" && say(null), 3000);
}

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

async function conversationMenu(id, button) {
  const one = await chat.whole(id);
  const kept = chat.list.some((other) => other.id === id);
  openMenu(button, [
    { icon: "pencil", words: "rename", action: () => sidebar.rename(id), disabled: !kept },
    { icon: "download", words: "exportMarkdown", disabled: !kept,
      action: () => download(fileName(one.title, "md"), "text/markdown", asMarkdown(one)) },
    { icon: "download", words: "exportJson", disabled: !kept,
      action: () => download(fileName(one.title, "json"), "application/json", asJson(one)) },
    { icon: "trash", words: "remove", action: () => remove(id), danger: true, disabled: !kept },
  ]);
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

// --- appearance ---

function chooseTheme(theme) {
  prefer("theme", theme);
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  drawSwitches();
}

function chooseLanguage(language) {
  prefer("language", language);
  speak(language);
  translate();
  composer.translate();
  thread.rebuild();
  sidebar.draw();
  title();
  say(banner);
  chooseModel(chat.model?.id);
  drawSwitches();
  redrawSettings(settingsActions);
}

function drawSwitches() {
  const theme = preference("theme");
  const themeWords = `${words("theme")}: ${words({ system: "themeSystem", light: "themeLight", dark: "themeDark" }[theme])}`;
  Object.assign($("theme"), { ariaLabel: themeWords, title: themeWords }).replaceChildren(icon(THEME_ICONS[theme]));
  const other = Object.keys(WORDS).find((code) => code !== spoken());
  $("language").textContent = WORDS[other].name;
  $("language").lang = other === "zh" ? "zh-CN" : other;
}

const settingsActions = {
  settings: () => chat.settings,
  adjust: (change) => chat.adjust(change),
  defaults: () => chat.model?.defaults ?? {},
  changed: () => composer.update(),
  themeChosen: chooseTheme,
  languageChosen: chooseLanguage,
  keyChosen: (key) => (key === apiKey() ? null : useKey(key)),
  exportAll: async () => download(fileName("conversations", "json"), "application/json", asJson(await store.all())),
  removeAll,
};

// --- the rest of the buttons, and the start ---

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
for (const id of ["new", "new-short"]) $(id).addEventListener("click", actions.fresh);
for (const id of ["settings-open", "settings-from-list"]) $(id).addEventListener("click", actions.settings);
$("settings").addEventListener("close", () => composer.update());
$("actions").addEventListener("click", () => conversationMenu(chat.conversation.id, $("actions")));
$("theme").addEventListener("click", () => chooseTheme(THEMES[(THEMES.indexOf(preference("theme")) + 1) % THEMES.length]));
$("language").addEventListener("click", () => chooseLanguage(Object.keys(WORDS).find((code) => code !== spoken())));
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  composer.focus();
});

drawSwitches();
await store.open();
if (!store.lasting) toast(words("noStorage"));
await chat.refresh();
if (!location.hash || !(await chat.open(location.hash.slice(1)))) chat.fresh();
askForModels();
if (matchMedia("(pointer: fine)").matches) composer.focus();
document.documentElement.dataset.ready = "true";
