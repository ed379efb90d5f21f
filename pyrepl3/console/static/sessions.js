// The list of sessions: opens them, finds those that were opened elsewhere, shows one at a time.

import { newId } from "./connection.js";
import { byId, element } from "./dom.js";
import { Notebook } from "./notebook.js";
import { keep, kept } from "./storage.js";
import { fieldsOf, tell } from "./told.js";

const REFRESH_EVERY_MS = 5_000;
const SHOWN = "session";
const WELCOME = byId("welcome");

export class Sessions {
  #connection;
  #notebooks = new Map();
  #infos = [];
  #items = new Map();
  #shown = null;
  #asking = false;
  #isStale = false;

  constructor(connection) {
    this.#connection = connection;
    byId("open-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#open();
    });
    connection.addEventListener("welcome", ({ detail }) => this.#showTemplates(detail));
    connection.addEventListener("state", () => {
      if (connection.state === "open") this.refresh();
    });
    // Others open and close sessions too.
    setInterval(() => {
      if (!document.hidden && connection.state === "open") this.refresh();
    }, REFRESH_EVERY_MS);
  }

  /** Nothing of whoever was signed in stays on the page. */
  clear() {
    this.#notebooks.clear();
    this.#infos = [];
    this.#items.clear();
    this.#shown = null;
    byId("notebook").replaceChildren(WELCOME);
    byId("sessions").replaceChildren();
  }

  /** Asks how they stand; where that is being asked already, once more afterwards. */
  async refresh() {
    this.#isStale = true;
    if (this.#asking) return;
    this.#asking = true;
    try {
      while (this.#isStale) {
        this.#isStale = false;
        const { sessions } = await this.#connection.request("list_sessions");
        this.#infos = sessions.sort((one, other) => other.opened_at - one.opened_at);
        this.#showList();
      }
    } catch (error) {
      const fields = fieldsOf(error);
      if (fields.code !== "CONNECTION_LOST") tell(fields);
    } finally {
      this.#asking = false;
    }
    this.#showAgain();
  }

  async #open() {
    const given = byId("open-name").value.trim();
    const name = given || newId("web");
    const template = byId("open-template").value || undefined;
    byId("open").disabled = true;
    byId("open").textContent = "Opening …";
    try {
      const opened = await this.#connection.request(
        "open_session",
        { name, template },
        { ownName: !given },
      );
      byId("open-name").value = "";
      byId("told").replaceChildren();
      this.#show({ session: opened.session, name: given || null, template: opened.template }, 0);
      this.refresh();
    } catch (error) {
      tell(fieldsOf(error));
    } finally {
      byId("open").disabled = false;
      byId("open").textContent = "New session";
    }
  }

  #show(info) {
    let notebook = this.#notebooks.get(info.session);
    if (notebook === undefined) {
      notebook = new Notebook(this.#connection, info, () => this.refresh());
      this.#notebooks.set(info.session, notebook);
      this.#connection.follow(info.session, 0, (event) => notebook.take(event));
    }
    this.#shown = info.session;
    keep(SHOWN, info.session);
    byId("notebook").replaceChildren(notebook.node);
    notebook.focus();
    this.#showList();
  }

  /** What was shown before this page was loaded anew. */
  #showAgain() {
    if (this.#shown !== null) return;
    const shown = kept(SHOWN);
    const info = this.#infos.find(({ session }) => session === shown);
    if (info !== undefined) this.#show(named(info));
  }

  /** Items stay who they are: one that is being clicked, or has the focus, is not replaced. */
  #showList() {
    const items = this.#infos.map((info) => this.#item(info));
    const list = byId("sessions");
    if (items.length !== list.children.length || items.some((item, at) => item !== list.children[at])) {
      const focused = document.activeElement;
      list.replaceChildren(...items);
      if (list.contains(focused)) focused.focus();
    }
    byId("no-sessions").hidden = items.length > 0;
  }

  #item(info) {
    let item = this.#items.get(info.session);
    if (item === undefined) {
      item = element("li", {}, element("button", { type: "button", class: "session-item" }));
      item.firstChild.append(element("span", { class: "session-name" }), element("span"));
      item.firstChild.addEventListener("click", () => this.#show(named(info)));
      this.#items.set(info.session, item);
    }
    const [name, state] = item.firstChild.children;
    name.textContent = named(info).name ?? info.session;
    state.textContent = standing(info);
    state.className = `standing ${standingClass(info)}`;
    if (info.session === this.#shown) item.firstChild.setAttribute("aria-current", "true");
    else item.firstChild.removeAttribute("aria-current");
    return item;
  }

  #showTemplates({ capabilities }) {
    const chosen = byId("open-template").value;
    const templates = capabilities?.templates ?? [];
    byId("open-template").replaceChildren(
      ...templates.map((name) => element("option", { value: name, selected: name === chosen }, name)),
    );
    for (const id of ["open-template", "open-template-label"]) byId(id).hidden = templates.length < 2;
  }
}

/** A name that this page gave, only to find the session again, is none for people. */
function named(info) {
  return /^(?:web|client)-[0-9a-f]{16,}$/.test(info.name ?? "") ? { ...info, name: null } : info;
}

function standing({ standing: its, running, queued }) {
  if (its !== "open") return its;
  if (running === null) return "idle";
  return queued > 0 ? `busy, ${queued} wait` : "busy";
}

function standingClass({ standing: its, running }) {
  if (its !== "open") return "over";
  return running === null ? "idle" : "busy";
}
