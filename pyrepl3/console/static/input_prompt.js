// A line that code asks for with input(), or a password with getpass().

import { Refused, errorBox, fieldsOf } from "./told.js";
import { element, announce } from "./dom.js";

/** One question. `answer(text | null)` sends it; null is the end of the input. */
export class InputPrompt {
  node = element("form", { class: "input-prompt" });
  #answer;
  #field;
  #isPassword;

  constructor({ prompt, password }, answer) {
    this.#answer = answer;
    this.#isPassword = password;
    const label = element("label", { class: "prompt" }, prompt || "input:");
    this.#field = element("input", {
      type: password ? "password" : "text",
      autocomplete: "off",
      spellcheck: false,
    });
    label.append(this.#field);
    const send = element("button", { type: "submit" }, "Send");
    const end = element("button", { type: "button", class: "quiet", title: "As Ctrl-D does" }, "End of input");
    end.addEventListener("click", () => this.#send(null));
    this.node.append(label, send, end);
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(this.#field.value);
    });
    this.#field.addEventListener("keydown", (event) => {
      if (event.ctrlKey && event.key === "d" && !this.#field.value) {
        event.preventDefault();
        this.#send(null);
      }
    });
    announce(`The code asks for input. ${prompt}`);
  }

  focus() {
    this.#field.focus();
  }

  /** Nobody is asked any more: as text, what was asked and answered. */
  settle(text) {
    const prompt = this.node.querySelector(".prompt")?.firstChild;
    if (prompt === undefined) return; // it is settled
    const shown = element("span", { class: "answer" }, text);
    this.node.replaceWith(element("pre", { class: "terminal" }, prompt.textContent, shown));
    this.node.replaceChildren();
  }

  async #send(text) {
    const controls = this.node.querySelectorAll("input, button");
    for (const control of controls) control.disabled = true;
    try {
      await this.#answer(text);
      this.settle(text === null ? "(end of input)" : this.#isPassword ? "••••••" : text);
    } catch (error) {
      const fields = fieldsOf(error);
      if (fields.code === "ALREADY_ANSWERED") this.settle("(answered elsewhere)");
      else if (error instanceof Refused) this.node.after(errorBox(fields));
    }
  }
}
