// One execution: its code, everything that it tells, and how it ended.

import { announce, element } from "./dom.js";
import { InputPrompt } from "./input_prompt.js";
import { richOutput } from "./rich_output.js";
import { TerminalText } from "./terminal_text.js";
import { errorBox } from "./told.js";

const ENDINGS = {
  INTERRUPTED: "interrupted",
  EXECUTION_TIMEOUT: "out of time",
  WORKER_DIED: "its process ended",
};

const ROLLED_BACK = "It is undone: the variables are as they were before.";

/** `actions` has respond(input, text), interrupt(execution) and edit(code). */
export class Cell {
  node = element("article", { class: "cell" });
  state = "sent"; // queued, running, ended
  execution;
  #actions;
  #count = element("span", { class: "count" }, "[ ]");
  #status = element("span", { class: "status" });
  #undone = element("span", { class: "hint", hidden: true }, "undone");
  #stop = element("button", { type: "button", class: "quiet stop", hidden: true }, "Interrupt");
  #outputs = element("div", { class: "outputs" });
  #text = null; // the block that printed text goes into
  #prompt = null;

  constructor(execution, code, actions) {
    this.execution = execution;
    this.#actions = actions;
    const head = element("div", { class: "cell-head" }, this.#count, this.#status, this.#undone, this.#stop);
    if (code !== null) {
      const edit = element("button", { type: "button", class: "quiet" }, "Edit again");
      edit.addEventListener("click", () => actions.edit(code));
      head.append(edit);
    }
    this.#stop.addEventListener("click", () => actions.interrupt(execution));
    const shown = element("pre", { class: "code", tabIndex: 0 }, code ?? "(sent by another client)");
    if (code === null) shown.classList.add("unknown");
    this.node.append(head, shown, this.#outputs);
    this.#tellStatus("sending …");
  }

  get isUnderWay() {
    return this.state !== "ended";
  }

  accepted(position) {
    if (this.state !== "sent") return;
    this.state = "queued";
    this.#tellStatus(position > 0 ? `waits behind ${position}` : "starting …");
  }

  refused(fields) {
    this.#outputs.append(errorBox(fields));
    this.#end("not run", "failed");
  }

  /** The connection or the session is gone, and with it whatever would have come. */
  lost(text) {
    if (this.isUnderWay) this.#end(text, "failed");
  }

  take(event) {
    const take = {
      started: () => this.#started(),
      output: () => this.#printed(event),
      display: () => this.display(event),
      output_gap: () => this.#gap(event),
      history_trimmed: () => this.#trimmed(event),
      input: () => this.#asked(event),
      result: () => this.#result(event),
      error: () => this.#failed(event),
    }[event.type];
    if (take) take();
  }

  /** Whether what it did was undone after it had ended. */
  undone(undone) {
    this.node.classList.toggle("undone", undone);
    this.#undone.hidden = !undone;
  }

  /** Shows a bundle, and returns what can be replaced by `update_display`. */
  display(event) {
    this.#text = null;
    const shown = element("div", { class: "display" }, richOutput(event.data));
    this.#outputs.append(shown);
    return shown;
  }

  #started() {
    this.state = "running";
    this.node.classList.add("running");
    this.#count.textContent = "[*]";
    this.#stop.hidden = false;
    this.#tellStatus("running");
  }

  #printed({ data, stream, background }) {
    if (this.#text === null) {
      this.#text = new TerminalText();
      this.#outputs.append(this.#text.node);
    }
    if (background) this.#text.node.title = "Some of it was printed while nothing ran";
    this.#text.write(data, stream);
  }

  #gap({ bytes }) {
    this.#text = null;
    const told = `… ${bytes.toLocaleString()} bytes of output were left out: over the session's limit`;
    this.#outputs.append(element("p", { class: "note" }, told));
  }

  #trimmed({ dropped }) {
    const told = `${counted(dropped.length, "execution")} can no more be undone: the history keeps so much and no more`;
    this.#outputs.append(element("p", { class: "note" }, told));
  }

  #asked(event) {
    this.#text = null;
    const hadFocus = document.activeElement;
    this.#prompt = new InputPrompt(event, (text) => this.#actions.respond(event.input, text));
    this.#outputs.append(this.#prompt.node);
    // Whoever has just run the code is to type on; who is elsewhere on the page is left there.
    if (hadFocus === document.body || hadFocus?.classList.contains("composer-code")) {
      this.#prompt.focus();
    }
  }

  #result(event) {
    this.#counted(event);
    if (event.data && Object.keys(event.data).length) {
      const shown = element("div", { class: "display value" }, richOutput(event.data));
      shown.setAttribute("aria-label", "Value");
      this.#outputs.append(shown);
    }
    this.#became(event);
    this.#end(duration(event), "done");
  }

  /** What became of the session's variables. */
  #became({ state }) {
    if (state === "kept") return;
    const told = state === "rolled_back" ? ROLLED_BACK : `The variables are ${state}.`;
    this.#outputs.append(element("p", { class: "note" }, told));
  }

  #failed(event) {
    this.#counted(event);
    const traceback = event.traceback.join("").trimEnd();
    const told = `${event.name}: ${event.value}`;
    const text = traceback || told;
    const shown = new TerminalText();
    shown.node.classList.add("traceback");
    shown.write(text, "stdout");
    shown.show();
    this.#outputs.append(shown.node);
    if (event.details?.stack) this.#outputs.append(stackOf(event.details.stack));
    this.#became(event);
    const code = event.code === null ? event.name : (ENDINGS[event.code] ?? event.code);
    this.#end([code, duration(event)].filter(Boolean).join(" · "), "failed");
    announce(`The code failed: ${told}`);
  }

  #counted({ execution_count }) {
    if (execution_count) this.#count.textContent = `[${execution_count}]`;
  }

  #end(status, kind) {
    this.state = "ended";
    this.#text?.show();
    this.#prompt?.settle("(not answered)");
    this.node.classList.remove("running");
    this.node.classList.add(kind);
    if (this.#count.textContent === "[*]") this.#count.textContent = "[ ]";
    this.#stop.hidden = true;
    this.#tellStatus(status);
  }

  #tellStatus(text) {
    this.#status.textContent = text;
  }
}

function stackOf(text) {
  const shown = element("pre", { class: "terminal" }, text);
  return element("details", {}, element("summary", {}, "Where it was"), shown);
}

function counted(count, what) {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`;
}

function duration({ duration_s }) {
  if (typeof duration_s !== "number") return "";
  return duration_s < 1 ? `${Math.max(1, Math.round(duration_s * 1000))} ms` : `${duration_s.toFixed(1)} s`;
}
