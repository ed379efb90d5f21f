// What code displays: images, HTML, text, from a MIME bundle.
//
// Nothing that code has made becomes part of this page. Images are <img>, in which no script runs,
// SVG too; HTML has a frame of an origin of its own, which reaches neither page nor cookie nor
// network (console/frame.html).

import { element } from "./dom.js";

const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"];
const LEAST_HEIGHT_PX = 24;
const GREATEST_HEIGHT_PX = 700; // then it scrolls by itself

/** The richest form of a bundle that can be shown here. */
export function richOutput(data) {
  const text = data["text/plain"];
  if (typeof data["text/html"] === "string") return htmlFrame(data["text/html"], text);
  if (typeof data["image/svg+xml"] === "string") {
    const svg = encodeURIComponent(data["image/svg+xml"]);
    return picture(`data:image/svg+xml;charset=utf-8,${svg}`, text);
  }
  const image = IMAGES.find((type) => typeof data[type] === "string");
  if (image) return picture(`data:${image};base64,${data[image].replaceAll("\n", "")}`, text);
  return element("pre", { class: "plain" }, text ?? otherText(data));
}

function otherText(data) {
  for (const [type, value] of Object.entries(data)) {
    if (typeof value === "string" && type.startsWith("text/")) return value;
    if (type.endsWith("json")) return JSON.stringify(value, null, 2);
  }
  const types = Object.keys(data).join(", ");
  return types ? `(${types}: cannot be shown here)` : "";
}

function picture(src, text) {
  return element("img", { class: "picture", src, alt: text ?? "picture" });
}

function htmlFrame(html, text) {
  const frame = element("iframe", { class: "html", title: `HTML output: ${text ?? ""}`.slice(0, 200) });
  frame.setAttribute("sandbox", "allow-scripts"); // and never allow-same-origin
  frame.setAttribute("referrerpolicy", "no-referrer");
  frame.src = new URL("console/frame.html", document.baseURI);
  // Its origin is opaque, so there is no name for it: "*" means this very frame.
  frame.addEventListener("load", () => frame.contentWindow.postMessage(html, "*"), { once: true });
  return frame;
}

// A frame tells how high it is, and nothing that it tells beside that is heard.
addEventListener("message", (event) => {
  const height_px = event.data?.height_px;
  if (event.origin !== "null" || !Number.isFinite(height_px)) return;
  for (const frame of document.querySelectorAll("iframe.html")) {
    if (frame.contentWindow === event.source) {
      const bounded = Math.min(Math.max(height_px, LEAST_HEIGHT_PX), GREATEST_HEIGHT_PX);
      frame.style.height = `${bounded}px`;
    }
  }
});
