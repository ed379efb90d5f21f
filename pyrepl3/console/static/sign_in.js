// How this browser comes in: a one-use code, or a token to get one with, for a cookie that no
// script can read. Neither is kept here.

import { Refused } from "./told.js";

const CODE = /^\s*[a-z0-9]{4}(?:[-\s]*[a-z0-9]{4}){3}\s*$/i; // any token is longer
const session = () => new URL("v1/browser/session", document.baseURI);
const codes = () => new URL("v1/browser/codes", document.baseURI);

/** The code in this page's address, which is taken out of it and of the history at once. */
export function takeCode() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code !== null) history.replaceState(null, "", location.pathname + location.search);
  return code;
}

/** Whether this browser is signed in, and whose it is. Throws Refused, also without a connection. */
export async function whoIsSignedIn() {
  return (await ask(session())).json();
}

/** Signs in by a code, or by a token. Throws Refused. */
export async function signIn(secret) {
  let code = secret;
  if (!CODE.test(secret)) {
    const authorization = `Bearer ${secret.trim()}`;
    if (!/^[\x21-\x7e]+$/.test(secret.trim())) throw noSecret();
    const answer = await ask(codes(), { method: "POST", headers: { authorization } });
    ({ code } = await answer.json());
  }
  await ask(session(), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code }),
  });
}

export async function signOut() {
  await ask(session(), { method: "DELETE" });
}

async function ask(url, settings = {}) {
  let answer;
  try {
    answer = await fetch(url, { cache: "no-store", redirect: "error", ...settings });
  } catch {
    throw new Refused({
      what: "the service cannot be reached",
      why: "it does not answer: it may have ended, or the network is gone",
      how: "Start it with pyrepl3 serve, then try again",
      code: "SERVICE_UNREACHABLE",
    });
  }
  if (answer.ok) return answer;
  throw new Refused(await problem(answer));
}

async function problem(answer) {
  try {
    const fields = await answer.json();
    return fields.what ? fields : { what: fields.title, why: fields.detail };
  } catch {
    return { what: `the service answered ${answer.status}`, why: answer.statusText };
  }
}

function noSecret() {
  return new Refused({
    what: "nobody was signed in",
    why: "that is neither a code nor a token: those are one word of plain letters and digits",
    how: "Run pyrepl3 console, and type the code that it prints",
  });
}
