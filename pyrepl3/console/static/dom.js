// Making elements. Text is always text: nothing here takes HTML.

/** An element with these properties and children; `class` and `aria-…` are attributes. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Told to who cannot see the page. */
export function announce(text) {
  byId("announcement").textContent = text;
}
