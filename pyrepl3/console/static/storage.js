// What this browser tab keeps for when the page is loaded anew; gone with the tab, and at signing out.
//
// Storage may be turned off or full: then a page that is loaded anew knows a little less, and that
// is all.

const PREFIX = "pyrepl3.";

export function keep(name, value) {
  try {
    sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    return;
  }
}

/** What was kept under that name; null: nothing, or nothing that can be read. */
export function kept(name) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name));
  } catch {
    return null;
  }
}

export function forgetAll() {
  try {
    for (const name of Object.keys(sessionStorage)) {
      if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
    }
  } catch {
    return;
  }
}
