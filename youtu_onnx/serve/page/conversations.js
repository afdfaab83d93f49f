// What can be done with a whole conversation: rename, copy, save, delete; and bringing some in from files.

import { render } from "./api.js";
import { $ } from "./dom.js";
import { asHtml, asJson, asMarkdown, download, fileName } from "./exporting.js";
import { fromJson } from "./importing.js";
import { words } from "./language.js";
import { openMenu } from "./menu.js";
import { toast } from "./toast.js";

/** page: { chat, copyText, rename, remove }. */
export async function openConversationMenu(page, id, button) {
  const one = await page.chat.whole(id);
  const disabled = !page.chat.list.some((other) => other.id === id);
  const save = (ending, type, make) => async () => {
    try {
      download(fileName(one.title, ending), type, await make(one));
    } catch (error) {
      toast(words("errorFailed", { message: error.message }));
    }
  };
  openMenu(button, [
    { icon: "pencil", words: "rename", disabled, action: () => page.rename(id) },
    { icon: "copy", words: "copyWhole", disabled, action: () => page.copyText(asMarkdown(one)) },
    { icon: "download", words: "exportMarkdown", disabled, action: save("md", "text/markdown", asMarkdown) },
    { icon: "download", words: "exportHtml", disabled, action: save("html", "text/html", (all) => asHtml(all, render)) },
    { icon: "download", words: "exportJson", disabled, action: save("json", "application/json", asJson) },
    { icon: "trash", words: "remove", danger: true, disabled, action: () => page.remove(id) },
  ]);
}

export const exportAll = async (store) =>
  download(fileName("conversations", "json"), "application/json", asJson(await store.all()));

/** Files that are chosen become conversations; the first is shown. */
export function listenForImports(chat, open) {
  $("import").addEventListener("change", async ({ target }) => {
    const texts = await Promise.all([...target.files].map((file) => file.text()));
    target.value = "";
    const found = texts.flatMap(fromJson);
    await chat.restore(...found);
    toast(words(found.length ? "imported" : "importedNone", { count: found.length }));
    if (!found.length) return;
    $("settings").close();
    open(found[0].id);
  });
}
