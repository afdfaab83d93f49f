// Files that are to go with the next message: chosen, dropped anywhere on the page, or pasted.

import { $ } from "./dom.js";
import { fileChips, pastedFile, readFile } from "./files.js";
import { words } from "./language.js";
import { toast } from "./toast.js";

export class Attachments {
  files = [];
  #changed;

  /** changed: called when there are other files. */
  constructor(changed) {
    this.#changed = changed;
    $("attach").addEventListener("click", () => $("files").click());
    $("files").addEventListener("change", ({ target }) => {
      this.add([...target.files]);
      target.value = "";
    });
    $("text").addEventListener("paste", (event) => this.#paste(event));
    const holds = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!holds(event)) return;
      event.preventDefault();
      document.documentElement.classList.add("dropping");
    });
    addEventListener("dragleave", (event) => event.relatedTarget ?? document.documentElement.classList.remove("dropping"));
    addEventListener("drop", (event) => {
      document.documentElement.classList.remove("dropping");
      if (!holds(event)) return;
      event.preventDefault();
      this.add([...event.dataTransfer.files]);
    });
  }

  async add(files) {
    const read = await Promise.all(files.map(readFile));
    this.show([...this.files, ...read.filter((one) => !one.wrong)]);
    const wrong = read.find((one) => one.wrong);
    if (wrong) toast(words(wrong.wrong, { name: wrong.name }));
  }

  show(files) {
    this.files = files;
    $("attached").replaceChildren(...fileChips(files, (file) => {
      this.show(this.files.filter((one) => one !== file));
      $("text").focus();
    }));
    $("attached").hidden = !files.length;
    this.#changed();
  }

  #paste(event) {
    const { clipboardData } = event;
    const files = [...clipboardData.files];
    const pasted = pastedFile(clipboardData.getData("text/plain"), this.files.length);
    if (!files.length && !pasted) return;
    event.preventDefault();
    if (pasted) this.show([...this.files, pasted]);
    else this.add(files);
  }
}
