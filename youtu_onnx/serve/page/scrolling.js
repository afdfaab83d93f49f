// Scrolling follows the text that comes, unless the reader scrolled up.

const NEAR = 24; // pixels from the end that count as at the end

export class Following {
  #box;
  #button;
  #following = true;
  #last = 0;

  constructor(box, content, button) {
    this.#box = box;
    this.#button = button;
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    button.addEventListener("click", () => {
      this.toEnd(true);
      box.focus();
    });
    const sizes = new ResizeObserver(() => (this.#following ? this.toEnd() : this.#offer()));
    sizes.observe(content);
    sizes.observe(box);
  }

  toEnd(smooth = false) {
    this.#following = true;
    const still = !smooth || matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#box.scrollTo({ top: this.#box.scrollHeight, behavior: still ? "instant" : "smooth" });
    this.#offer();
  }

  #scrolled() {
    const { scrollTop } = this.#box;
    // Text that has just come also puts distance between here and the end; only going up is leaving.
    if (this.#distance() <= NEAR) this.#following = true;
    else if (scrollTop < this.#last - 1) this.#following = false;
    this.#last = scrollTop;
    this.#offer();
  }

  #distance() {
    return this.#box.scrollHeight - this.#box.clientHeight - this.#box.scrollTop;
  }

  #offer() {
    this.#button.hidden = this.#following || this.#distance() <= NEAR;
  }
}
