// One session: its cells in the order in which they were sent, and where the next one is written.

import { Cell } from "./cell.js";
import { Composer } from "./composer.js";
import { newId } from "./connection.js";
import { element } from "./dom.js";
import { richOutput } from "./rich_output.js";
import { keep, kept } from "./storage.js";
import { fieldsOf, tell } from "./told.js";

const CODES_KEPT = 300; // of executions, for when this page is loaded anew
const CELLS_KEPT = 500; // on the page
const CODES = "codes";
const ENDS = {
  session_died: (event) => `It has ended by itself: ${event.cause}.`,
  session_closed: (event) =>
    event.reason === "expired"
      ? "It was closed, as nobody had used it for long."
      : "It was closed.",
  not_found: () => "It is no longer there: it was closed or the service was started anew.",
};

const ROLLBACKS = {
  requested: "The transaction was rolled back: the variables are as they were at its beginning.",
  abandoned: "The transaction was rolled back, as nobody was left who could end it: the variables are as they were at its beginning.",
};
const NOTES = {
  session_rolled_back: (event) => ROLLBACKS[event.cause],
  session_undone: () => "Undone: the variables are as they were before.",
  session_redone: () => "Redone: the variables are as they were after it.",
  history_kept: ({ count }) =>
    count ? `The last ${count} executions can be undone from here on.` : "Nothing can be undone from here on.",
};

export class Notebook {
  node = element("section", { class: "session" });
  session;
  hasEnded = false;
  #connection;
  #title;
  #changed;
  #cells = new Map();
  #displays = new Map(); // display_id → what is shown of it
  #log = element("div", { class: "cells" });
  #composer;
  #close = element("button", { type: "button" }, "Close session");
  #stop = element("button", { type: "button", disabled: true }, "Interrupt");

  /** `facts`: session, name, template. `changed()` is called when the list may look otherwise. */
  constructor(connection, facts, changed) {
    this.#connection = connection;
    this.session = facts.session;
    this.#changed = changed;
    this.#title = facts.name ?? facts.session;
    const id = facts.name ? `${facts.template} · ${facts.session}` : facts.template;
    this.#composer = new Composer(
      (code) => this.#run(code),
      () => this.#interrupt(this.#running()),
    );
    const head = element(
      "div",
      { class: "session-head" },
      element("h2", {}, this.#title),
      element("span", { class: "hint" }, id),
      element("span", { class: "session-buttons" }, this.#stop, this.#close),
    );
    this.#stop.addEventListener("click", () => this.#interrupt(this.#running()));
    this.#close.addEventListener("click", () => this.#closeSession());
    this.node.setAttribute("aria-label", `Session ${this.#title}`);
    this.node.append(head, this.#log, this.#composer.node);
  }

  focus() {
    if (!this.hasEnded) this.#composer.focus();
  }

  take(event) {
    const isFollowed = isAtEnd();
    if (event.type in ENDS) this.#end(ENDS[event.type](event));
    else if (event.type === "gap") this.#gap(event);
    else if (event.type in NOTES) this.#note(event);
    else if (event.type === "display") this.#display(event);
    else if (event.execution) this.#cell(event.execution).take(event);
    if (event.type === "started" || event.type === "result" || event.type === "error") {
      this.#showState();
      this.#changed();
    }
    if (isFollowed) requestAnimationFrame(scrollToEnd);
  }

  async #run(code) {
    const execution = newId("web");
    remember(execution, code);
    const cell = this.#cell(execution, code);
    scrollToEnd();
    try {
      const { position } = await this.#connection.request("execute", {
        session: this.session,
        execution,
        code,
      });
      cell.accepted(position);
    } catch (error) {
      cell.refused(fieldsOf(error));
    }
    this.#showState();
  }

  #cell(execution, code = recall(execution)) {
    let cell = this.#cells.get(execution);
    if (cell === undefined) {
      cell = new Cell(execution, code, {
        respond: (input, data) => this.#respond(input, data),
        interrupt: (which) => this.#interrupt(which),
        edit: (text) => this.#composer.set(text),
      });
      this.#cells.set(execution, cell);
      this.#log.append(cell.node);
      this.#dropOldest();
    }
    return cell;
  }

  #dropOldest() {
    for (const [execution, cell] of this.#cells) {
      if (this.#cells.size <= CELLS_KEPT || cell.isUnderWay) return;
      this.#cells.delete(execution);
      cell.node.remove();
    }
  }

  #display(event) {
    const known = event.display_id === null ? undefined : this.#displays.get(event.display_id);
    if (event.update && known !== undefined) {
      known.replaceChildren(richOutput(event.data));
      return;
    }
    const shown = this.#cell(event.execution).display(event);
    if (event.display_id) this.#displays.set(event.display_id, shown);
  }

  /** What became of all of it, besides by an execution. */
  #note(event) {
    if (event.type === "session_undone") this.#markUndone(event.execution);
    if (event.type === "session_redone") this.#cells.get(event.execution)?.undone(false);
    this.#log.append(element("p", { class: "note", role: "status" }, NOTES[event.type](event)));
  }

  /** That one and all that ran after it. */
  #markUndone(execution) {
    let isBehind = false;
    for (const [id, cell] of this.#cells) {
      isBehind ||= id === execution;
      if (isBehind && !cell.isUnderWay) cell.undone(true);
    }
  }

  #gap({ from_seq, to_seq, bytes }) {
    const told = `… events ${from_seq} to ${to_seq} (${bytes.toLocaleString()} bytes) are gone: the service keeps so much and no more`;
    this.#log.append(element("p", { class: "note" }, told));
  }

  async #respond(input, data) {
    await this.#connection.request("input_response", { session: this.session, input, data });
    this.focus();
  }

  #running() {
    return [...this.#cells.values()].find((cell) => cell.state === "running")?.execution;
  }

  /** Whether there was anything to interrupt. */
  #interrupt(execution) {
    if (execution === undefined) return false;
    this.#connection
      .request("interrupt", { session: this.session, execution })
      .catch((error) => {
        const fields = fieldsOf(error);
        if (fields.code !== "EXECUTION_NOT_FOUND") tell(fields); // else it has just ended
      });
    return true;
  }

  async #closeSession() {
    this.#close.disabled = true;
    try {
      await this.#connection.request("close_session", { session: this.session });
    } catch (error) {
      this.#close.disabled = this.hasEnded;
      tell(fieldsOf(error));
    }
    this.#changed();
  }

  #end(told) {
    this.hasEnded = true;
    for (const cell of this.#cells.values()) cell.lost("not told how it ended");
    this.#log.append(element("p", { class: "note end", role: "status" }, told));
    this.#composer.disabled = true;
    this.#close.disabled = true;
    this.#showState();
    this.#changed();
  }

  #showState() {
    this.#stop.disabled = this.hasEnded || this.#running() === undefined;
  }
}

function isAtEnd() {
  const page = document.scrollingElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 80;
}

function scrollToEnd() {
  document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
}

// --- the code of executions that this browser tab has sent ------------------------------------------

function codes() {
  const known = kept(CODES);
  return Array.isArray(known) ? known : [];
}

function remember(execution, code) {
  keep(CODES, [...codes(), [execution, code]].slice(-CODES_KEPT));
}

function recall(execution) {
  const found = codes().find(([known]) => known === execution);
  return found ? found[1] : null;
}
