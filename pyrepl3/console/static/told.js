// Errors as people are told them: what went wrong, why, and how to mend it.

import { byId, element } from "./dom.js";

/** Thrown where a request was not taken; `fields` has what, why, how and code. */
export class Refused extends Error {
  constructor(fields) {
    super(fields.what);
    this.fields = fields;
  }
}

/** What went wrong, why, and how to mend it; `fields` are those of a refusal. */
export function errorBox(fields) {
  const box = element("div", { class: "error-box", role: "alert" });
  box.append(element("p", { class: "what" }, fields.what));
  const list = element("dl");
  for (const name of ["why", "how", "code"]) {
    if (fields[name]) list.append(element("dt", {}, name), element("dd", {}, String(fields[name])));
  }
  box.append(list);
  return box;
}

/** Shows an error at the top of the page, until it is dismissed or another one comes. */
export function tell(fields) {
  const box = errorBox(fields);
  const dismiss = element("button", { type: "button", class: "quiet" }, "Dismiss");
  dismiss.addEventListener("click", () => byId("told").replaceChildren());
  box.append(dismiss);
  byId("told").replaceChildren(box);
}

/** The fields of whatever was thrown. */
export function fieldsOf(error) {
  if (error.fields) return error.fields;
  console.error(error);
  return { what: "something failed on this page", why: String(error), how: "Load it anew" };
}
