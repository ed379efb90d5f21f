// The page: who is signed in, whether there is a connection, and what is shown of it.

import { Connection } from "./connection.js";
import { byId, announce } from "./dom.js";
import { Sessions } from "./sessions.js";
import { signIn, signOut, takeCode, whoIsSignedIn } from "./sign_in.js";
import { forgetAll } from "./storage.js";
import { fieldsOf, tell } from "./told.js";

const AGAIN_MS = 3_000;

const connection = new Connection();
const sessions = new Sessions(connection);

connection.addEventListener("state", () => {
  const { state, waitMs, why } = connection;
  const texts = {
    connecting: "connecting …",
    open: "connected",
    waiting: `no connection${why ? ` (${why})` : ""}: again in ${Math.ceil(waitMs / 1000)} s`,
    out: "",
    stopped: "",
  };
  byId("connection").textContent = texts[state];
  byId("connection").className = `connection ${state}`;
  byId("connect-now").hidden = state !== "waiting";
  if (state === "out") showSignIn();
});
byId("connect-now").addEventListener("click", () => connection.connectNow());
addEventListener("online", () => connection.connectNow());

byId("sign-out").addEventListener("click", async () => {
  try {
    await signOut();
  } catch (error) {
    tell(fieldsOf(error));
    return;
  }
  forgetAll();
  connection.stop();
  showSignIn();
});

byId("show-secret").addEventListener("change", ({ target }) => {
  byId("secret").type = target.checked ? "text" : "password";
});

byId("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const secret = byId("secret").value;
  byId("secret").value = "";
  await enterBy(secret);
});

// A link with a new code, opened in a tab that is here already.
addEventListener("hashchange", () => {
  const code = takeCode();
  if (code !== null) enterBy(code);
});

async function enterBy(secret) {
  try {
    await signIn(secret);
  } catch (error) {
    tell(fieldsOf(error));
    if (connection.state === "stopped" || connection.state === "out") showSignIn();
    return;
  }
  byId("told").replaceChildren();
  connection.stop();
  await enter();
}

/** Shows what whoever is signed in may see. */
async function enter() {
  let who;
  try {
    who = await whoIsSignedIn();
  } catch (error) {
    tell(fieldsOf(error));
    setTimeout(enter, AGAIN_MS);
    return;
  }
  if (!who.signed_in) {
    showSignIn();
    return;
  }
  sessions.clear();
  byId("principal").textContent = who.principal;
  show({ signIn: false });
  announce("");
  connection.start();
}

function showSignIn() {
  sessions.clear();
  byId("principal").textContent = "";
  show({ signIn: true });
  byId("secret").focus();
  announce("Sign in to go on.");
}

function show({ signIn: wanted }) {
  byId("sign-in").hidden = !wanted;
  byId("work").hidden = wanted;
  byId("sign-out").hidden = wanted;
}

const code = takeCode();
if (code !== null) await enterBy(code);
if (connection.state === "stopped" && byId("sign-in").hidden) await enter();
