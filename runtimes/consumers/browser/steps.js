// A model's thoughts as a list that grows with each line.

export class Steps {
  /** @param {HTMLElement} list its items are the lines, each with the line break that ends it */
  constructor(list) {
    this.list = list;
  }

  get count() {
    return [...this.list.children].filter((line) => line.textContent.trim()).length;
  }

  /** Text as it comes, in pieces that may end anywhere. */
  append(text) {
    const lines = text.split(/(?<=\n)/);
    const open = this.list.lastElementChild;
    if (open && !open.textContent.endsWith("\n")) open.append(lines.shift() ?? "");
    for (const line of lines.filter(Boolean)) {
      const item = document.createElement("li");
      item.textContent = line;
      this.list.append(item);
    }
  }

  replace(text) {
    this.list.replaceChildren();
    this.append(text);
  }
}
