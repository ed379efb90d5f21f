// The WebSocket to the service, made again when it is lost, by docs/protocol.md.
//
// Owns what was asked and not answered, and how far each session's events have come. All that was
// not answered is sent again on a new connection: an execution has an id of its own, so it runs
// once; so has a session that is opened, by its name. Events come to each listener in order, each
// once.

import { whoIsSignedIn } from "./sign_in.js";
import { Refused } from "./told.js";

const SUBPROTOCOL = "pyrepl3.v1.json";
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;
const PING_EVERY_MS = 20_000;
const PONG_WITHIN_MS = 15_000;
const GOING_AWAY = 1001;

/** A new id, that nobody else has. */
export function newId(prefix) {
  // Not randomUUID: pages without TLS from another machine do not have it.
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return `${prefix}-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Fires "state", with `state`: "connecting", "open", "waiting" (until `waitMs` are over), "out"
 * (nobody is signed in) or "stopped"; and "welcome", with what the service says of itself.
 */
export class Connection extends EventTarget {
  state = "stopped";
  waitMs = 0;
  why = "";
  #socket = null;
  #ready = false; // everything followed is attached: other requests may be sent
  #number = 0;
  #failures = 0;
  #timer = null;
  #heard = 0;
  #pinged = null;
  #pending = new Map(); // id → { message, resolve, reject, again, ownName }
  #own = new Map(); // id → { resolve, reject }: attach and detach of this connection alone
  #followed = new Map(); // session → { since, listener, syncing }

  start() {
    if (this.#socket === null && this.state !== "waiting") this.#connect();
  }

  /** For good, as after signing out: who waits for an answer is told so. */
  stop(state = "stopped") {
    clearTimeout(this.#timer);
    this.#drop();
    for (const { reject } of this.#pending.values()) reject(gone());
    this.#pending.clear();
    this.#followed.clear();
    this.#become(state);
  }

  connectNow() {
    if (this.state === "waiting") this.#connect();
  }

  /** The answer's fields; it waits for a connection, and for another one. Rejects with Refused. */
  request(type, fields = {}, { ownName = false } = {}) {
    return new Promise((resolve, reject) => {
      if (this.state === "stopped" || this.state === "out") {
        reject(gone());
        return;
      }
      const message = { type, id: ++this.#number, ...fields };
      this.#pending.set(message.id, { message, resolve, reject, again: false, ownName });
      if (this.#ready) this.#send(message);
    });
  }

  /**
   * Has a session's events told to `listener`, from behind `since` on; where the session is not
   * there (any more), that is told as {type: "not_found", error}.
   */
  follow(session, since, listener) {
    if (this.#followed.has(session)) return;
    this.#followed.set(session, { since, listener, syncing: false });
    if (this.#ready) this.#attach(session);
  }

  unfollow(session) {
    this.#followed.delete(session);
    if (this.#ready) this.#askHere("detach", { session }).catch(() => {}); // it may have ended
  }

  // --- one connection after another ---------------------------------------------------------------

  #connect() {
    clearTimeout(this.#timer);
    this.#become("connecting");
    const url = new URL("v1/ws", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket = socket;
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#take(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#lost(event.code, event.reason);
    });
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    clearInterval(this.#pinged);
    for (const { reject } of this.#own.values()) reject(gone());
    this.#own.clear();
    if (socket !== null) socket.close();
  }

  async #lost(code, reason) {
    const wasOpen = this.state === "open";
    this.#drop();
    this.#failures = wasOpen ? 0 : this.#failures + 1;
    this.why = code === GOING_AWAY ? "the service ends" : reason;
    const backoff = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    this.waitMs = backoff * (0.8 + 0.4 * Math.random());
    this.#timer = setTimeout(() => this.#connect(), this.waitMs);
    this.#become("waiting");
    if (!wasOpen && (await isSignedOut()) && this.state === "waiting") this.stop("out");
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  async #welcomed(message) {
    const socket = this.#socket;
    for (const entry of this.#pending.values()) entry.again = entry.sent;
    this.#watch(socket);
    this.dispatchEvent(new CustomEvent("welcome", { detail: message }));
    // What is executed follows its session too, from its own beginning: the rest comes first.
    await Promise.all([...this.#followed.keys()].map((session) => this.#attach(session)));
    if (socket !== this.#socket) return;
    this.#ready = true;
    this.#failures = 0;
    for (const { message: asked } of this.#pending.values()) this.#send(asked);
    this.#become("open");
  }

  /** A service that says nothing for long is asked for a sign, and else thought to be gone. */
  #watch(socket) {
    this.#pinged = setInterval(() => {
      if (Date.now() - this.#heard < PING_EVERY_MS) return;
      const asked = Date.now();
      this.#askHere("ping", {}).catch(() => {}); // the connection is lost: that is told elsewhere
      setTimeout(() => {
        if (socket === this.#socket && this.#heard < asked) this.#lost(0, "it does not answer");
      }, PONG_WITHIN_MS);
    }, PING_EVERY_MS);
  }

  // --- messages -------------------------------------------------------------------------------------

  #send(message) {
    const entry = this.#pending.get(message.id);
    if (entry) entry.sent = true;
    this.#socket.send(JSON.stringify(message));
  }

  #askHere(type, fields) {
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#own.set(id, { resolve, reject });
      this.#send({ type, id, ...fields });
    });
  }

  #take(message) {
    this.#heard = Date.now();
    if (message.reply_to !== undefined) this.#answer(message);
    else if (message.type === "welcome") this.#welcomed(message);
    else if (message.session !== undefined) this.#tell(message);
  }

  #answer(message) {
    const id = message.reply_to;
    const asked = this.#own.get(id) ?? this.#pending.get(id);
    if (asked === undefined) return;
    if (message.type !== "refused") {
      this.#own.delete(id);
      this.#pending.delete(id);
      asked.resolve(message);
    } else if (asked.again && wasDone(asked, message)) {
      this.#wasDone(asked, message);
    } else {
      this.#own.delete(id);
      this.#pending.delete(id);
      asked.reject(new Refused(message));
    }
  }

  /** The answer to the first time was lost with its connection. */
  #wasDone(asked, message) {
    if (asked.message.type !== "open_session") {
      this.#pending.delete(asked.message.id);
      asked.resolve(message);
      return;
    }
    // It is found by its name, which nobody else gives.
    const { id, name } = asked.message;
    asked.message = { type: "attach", id, session: name, since: 0 };
    this.#send(asked.message);
  }

  #tell(message) {
    const followed = this.#followed.get(message.session);
    if (followed === undefined || followed.syncing) return;
    const first = message.from_seq ?? message.seq;
    const last = message.to_seq ?? message.seq;
    if (last <= followed.since) return; // it came before, on another connection
    if (first > followed.since + 1) {
      this.#resync(message.session, followed);
      return;
    }
    followed.since = last;
    followed.listener(message);
  }

  async #attach(session) {
    const followed = this.#followed.get(session);
    try {
      await this.#askHere("attach", { session, since: followed.since });
    } catch (error) {
      if (error.fields.code === "CONNECTION_LOST") return;
      this.#followed.delete(session);
      followed.listener({ type: "not_found", session, error: error.fields });
    }
  }

  /** Events are missing between: have them all sent again from the last one that is here. */
  async #resync(session, followed) {
    followed.syncing = true;
    try {
      await this.#askHere("detach", { session });
    } catch (error) {
      if (error.fields.code === "CONNECTION_LOST") return; // another one begins with an attach
    } finally {
      followed.syncing = false;
    }
    await this.#attach(session);
  }
}

function wasDone({ message, ownName }, { code }) {
  if (message.type === "open_session") return ownName && code === "ID_CONFLICT";
  return message.type === "input_response" && code === "ALREADY_ANSWERED";
}

async function isSignedOut() {
  try {
    return !(await whoIsSignedIn()).signed_in;
  } catch {
    return false; // it cannot be asked, so it is not known
  }
}

function gone() {
  return new Refused({
    what: "there is no connection to the service",
    why: "it was lost, or this browser is signed out",
    how: "Sign in, and try again",
    code: "CONNECTION_LOST",
  });
}
