// Whether the server is there. Once it was lost, health is asked until it is back.

import { health } from "./api.js";

const WAITS = [1000, 2000, 4000, 8000]; // milliseconds; the last one again and again

export class Connection extends EventTarget {
  state = "ok"; // ok, gone, starting
  #waiting = null;
  #tries = 0;

  constructor() {
    super();
    addEventListener("online", () => this.#waiting && this.#ask());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#waiting && this.#ask());
  }

  lost(state = "gone") {
    this.#say(state);
    if (this.#waiting) return;
    this.#tries = 0;
    this.#wait();
  }

  found() {
    clearTimeout(this.#waiting);
    this.#waiting = null;
    this.#say("ok");
  }

  #wait() {
    this.#waiting = setTimeout(() => this.#ask(), WAITS[Math.min(this.#tries++, WAITS.length - 1)]);
  }

  async #ask() {
    clearTimeout(this.#waiting);
    const state = await health();
    if (state === "ok") return this.found();
    this.#say(state);
    this.#wait();
  }

  #say(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("change", { detail: state }));
  }
}
