// Where code is written: Shift-Enter runs it, the arrows bring back what ran before.

import { element } from "./dom.js";

const INDENT = "    ";

export class Composer {
  node = element("form", { class: "composer" });
  #code = element("textarea", {
    class: "composer-code",
    rows: 3,
    spellcheck: false,
    autocapitalize: "off",
    autocomplete: "off",
    placeholder: "Python …",
  });
  #history = [];
  #at = 0; // in the history; its length: what is being written
  #draft = "";
  #run;
  #interrupt;

  /** `run(code)`; `interrupt()` returns whether there was anything to interrupt. */
  constructor(run, interrupt) {
    this.#run = run;
    this.#interrupt = interrupt;
    const label = element("label", { class: "composer-label" }, "Code");
    label.append(this.#code);
    const button = element("button", { type: "submit", class: "run" }, "Run");
    const hint = element("span", { class: "hint" }, "Shift-Enter runs it. Ctrl-C interrupts.");
    this.node.append(label, element("div", { class: "composer-foot" }, button, hint));
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#code.addEventListener("keydown", (event) => this.#key(event));
    this.#code.addEventListener("input", () => this.#fit());
  }

  focus() {
    this.#code.focus();
  }

  set(code) {
    this.#code.value = code;
    this.#fit();
    this.focus();
  }

  set disabled(isDisabled) {
    for (const control of this.node.querySelectorAll("textarea, button")) {
      control.disabled = isDisabled;
    }
  }

  #submit() {
    const code = this.#code.value;
    if (!code.trim()) return;
    this.#history.push(code);
    this.#at = this.#history.length;
    this.#code.value = "";
    this.#fit();
    this.#run(code);
  }

  #key(event) {
    const { key, shiftKey, ctrlKey, metaKey } = event;
    const { selectionStart, selectionEnd, value } = this.#code;
    const nothingSelected = selectionStart === selectionEnd;
    if (event.isComposing) return;
    if (key === "Enter" && (shiftKey || ctrlKey || metaKey)) {
      event.preventDefault();
      this.#submit();
    } else if (key === "Enter" && nothingSelected) {
      event.preventDefault();
      const line = value.slice(0, selectionStart).split("\n").at(-1);
      const deeper = line.trimEnd().endsWith(":") ? INDENT : "";
      this.#insert(`\n${/^\s*/.exec(line)[0]}${deeper}`);
    } else if (ctrlKey && key === "c" && nothingSelected && this.#interrupt()) {
      event.preventDefault();
    } else if (key === "ArrowUp" && !value.slice(0, selectionStart).includes("\n")) {
      if (this.#recall(-1)) event.preventDefault();
    } else if (key === "ArrowDown" && !value.slice(selectionEnd).includes("\n")) {
      if (this.#recall(+1)) event.preventDefault();
    }
  }

  #recall(step) {
    const at = this.#at + step;
    if (at < 0 || at > this.#history.length) return false;
    if (this.#at === this.#history.length) this.#draft = this.#code.value;
    this.#at = at;
    this.#code.value = at === this.#history.length ? this.#draft : this.#history[at];
    this.#fit();
    return true;
  }

  #insert(text) {
    // It is the only way by which what was written can be undone afterwards.
    if (!document.execCommand("insertText", false, text)) {
      this.#code.setRangeText(text, this.#code.selectionStart, this.#code.selectionEnd, "end");
    }
    this.#fit();
  }

  #fit() {
    const lines = this.#code.value.split("\n").length;
    this.#code.rows = Math.min(20, Math.max(3, lines));
  }
}
