// Scrolling follows the text that comes, unless the reader scrolled up.

const NEAR = 24; // pixels from the end that count as at the end
const INTENT = 500; // milliseconds in which scrolling is the reader's own after a wheel, a finger or a key

export class Following {
  #box;
  #button;
  #following = true;
  #last = 0;
  #touched = -Infinity;

  constructor(box, content, button) {
    this.#box = box;
    this.#button = button;
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const type of ["wheel", "touchmove", "keydown", "pointerdown", "pointermove"]) {
      box.addEventListener(type, () => { this.#touched = performance.now(); }, { passive: true });
    }
    button.addEventListener("click", () => {
      box.focus({ preventScroll: true }); // first: a focus that moves ends scrolling that is under way
      this.toEnd(true);
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
    // Text that has just come also puts distance between here and the end, and text that got shorter also moves up.
    if (this.#distance() <= NEAR) this.#following = true;
    else if (scrollTop < this.#last - 1 && performance.now() - this.#touched < INTENT) this.#following = false;
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
