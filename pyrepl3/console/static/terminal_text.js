// Printed text as a terminal shows it: lines, carriage returns and backspaces, colours.
//
// Owns one block of output. Lines that are complete are written once, in batches, and the oldest
// are dropped beyond a bound, so that a page survives code that prints without end. Of escape
// sequences the colours and weights are shown; all others are left out.

import { element } from "./dom.js";

const KEPT_CHARACTERS = 1_000_000; // of one block; the service has the rest
const BATCH_CHARACTERS = 50_000; // of what is dropped at a time
const LONGEST_LINE = 20_000; // then it is broken: a line is shown anew whenever it changes
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const ESCAPES =
  // eslint-disable-next-line no-control-regex
  /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])|[\r\n\b]|\x1b/g;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\x1b\r\b]/;
// eslint-disable-next-line no-control-regex
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[ -/]*)?$/;
const LONGEST_ESCAPE = 4096;

/** One block. `node` is what is shown. */
export class TerminalText {
  node = element("pre", { class: "terminal" });
  #lines = element("div");
  #current = element("span");
  #done = []; // of complete lines that are not shown yet: [text, style] pairs
  #line = []; // the same, of the line that is being written
  #length = 0; // of that line
  #cursor = null; // in characters of the line, which are pairs of their own then; null: at its end
  #style = { colour: "", bold: false, italic: false, underline: false };
  #rest = { stdout: "", stderr: "" }; // of escape sequences that are not all there yet
  #kept = 0;
  #due = false;
  #note = null;

  constructor() {
    this.node.append(this.#lines, this.#current);
  }

  /** More of it; `stream` is stdout or stderr. */
  write(data, stream) {
    let text = this.#rest[stream] + data;
    const unfinished = UNFINISHED.exec(text);
    const isCut = unfinished !== null && text.length - unfinished.index < LONGEST_ESCAPE;
    this.#rest[stream] = isCut ? unfinished[0] : "";
    if (isCut) text = text.slice(0, unfinished.index);
    if (this.#cursor === null && !CONTROLS.test(text)) this.#writePlain(text, stream);
    else this.#writeAny(text, stream);
    this.#showSoon();
  }

  /** Whole lines at once: most output has no controls. */
  #writePlain(text, stream) {
    const end = text.lastIndexOf("\n") + 1;
    for (let at = 0; at < end; at += BATCH_CHARACTERS) {
      this.#put(text.slice(at, Math.min(end, at + BATCH_CHARACTERS)), stream);
    }
    if (end) this.#endLine();
    this.#put(text.slice(end), stream);
  }

  #writeAny(text, stream) {
    let at = 0;
    for (const found of text.matchAll(ESCAPES)) {
      this.#put(text.slice(at, found.index), stream);
      this.#control(found[0]);
      at = found.index + found[0].length;
    }
    this.#put(text.slice(at), stream);
  }

  /** Shows everything that was written, now. */
  show() {
    this.#due = false;
    for (let at = 0; at < this.#done.length; ) {
      const first = at;
      let size = 0;
      while (at < this.#done.length && size < BATCH_CHARACTERS) size += this.#done[at++][0].length;
      // A block each: what is appended does not have the browser lay out all the rest again.
      const batch = element("div", {}, ...segments(withoutLastEnd(this.#done.slice(first, at))));
      batch.size = size;
      this.#lines.append(batch);
      this.#kept += size;
    }
    this.#done = [];
    this.#dropOldest();
    this.#current.replaceChildren(...segments(this.#line));
  }

  #put(text, stream) {
    if (!text) return;
    const style = classOf(this.#style, stream);
    if (this.#cursor === null) {
      this.#line.push([text, style]);
      this.#length += text.length;
      if (this.#length > LONGEST_LINE) this.#endLine();
      return;
    }
    const characters = [...text].map((character) => [character, style]);
    this.#line.splice(this.#cursor, characters.length, ...characters);
    this.#cursor += characters.length;
    if (this.#cursor >= this.#line.length) this.#cursor = null;
    if (this.#line.length > LONGEST_LINE) this.#endLine();
  }

  #control(sequence) {
    if (sequence === "\n") {
      this.#line.push(["\n", ""]);
      this.#endLine();
    } else if (sequence === "\r") {
      this.#moveTo(() => 0);
    } else if (sequence === "\b") {
      this.#moveTo((at) => Math.max(0, at - 1));
    } else if (sequence.endsWith("m") && sequence.startsWith("\x1b[")) {
      restyle(this.#style, sequence.slice(2, -1));
    } else if (sequence === "\x1b[K" || sequence === "\x1b[0K") {
      if (this.#cursor !== null) this.#line.length = this.#cursor;
      this.#cursor = null;
    } else if (sequence === "\x1b[2K") {
      this.#moveTo((at) => at);
      this.#line = Array.from({ length: this.#cursor ?? 0 }, () => [" ", ""]);
      this.#cursor = null;
    }
  }

  /** The cursor, by where it was; only now is the line taken apart into its characters. */
  #moveTo(place) {
    if (!this.#line.length) return;
    if (this.#cursor === null) {
      this.#line = this.#line.flatMap(([text, style]) => [...text].map((one) => [one, style]));
      this.#cursor = this.#line.length;
    }
    this.#cursor = place(this.#cursor);
  }

  #endLine() {
    this.#done.push(...this.#line);
    this.#line = [];
    this.#length = 0;
    this.#cursor = null;
  }

  #showSoon() {
    if (this.#due) return;
    this.#due = true;
    // A page that nobody looks at has no frames, and must not hold everything until it has.
    if (document.hidden) setTimeout(() => this.#due && this.show(), 200);
    else requestAnimationFrame(() => this.#due && this.show());
  }

  #dropOldest() {
    while (this.#kept > KEPT_CHARACTERS && this.#lines.childElementCount > 1) {
      const oldest = this.#lines.firstElementChild;
      this.#kept -= oldest.size;
      oldest.remove();
      if (this.#note === null) {
        const told = "… what was printed before is not shown any more: pyrepl3 session logs has it";
        this.#note = element("div", { class: "note" }, told);
        this.node.prepend(this.#note);
      }
    }
  }
}

/** A block ends its last line by itself; an empty line alone would have no height then. */
function withoutLastEnd(pairs) {
  const [text, style] = pairs.at(-1);
  if (!text.endsWith("\n") || (pairs.length === 1 && text === "\n")) return pairs;
  return [...pairs.slice(0, -1), [text.slice(0, -1), style]];
}

/** Text nodes, and spans where there is a style, for [text, style] pairs. */
function segments(pairs) {
  const made = [];
  let text = "";
  let style = "";
  const flush = () => {
    if (text) made.push(style ? element("span", { class: style }, text) : text);
    text = "";
  };
  for (const [more, its] of pairs) {
    if (its !== style) flush();
    style = its;
    text += more;
  }
  flush();
  return made;
}

function classOf({ colour, bold, italic, underline }, stream) {
  const names = [stream === "stderr" ? "stderr" : "", colour];
  if (bold) names.push("bold");
  if (italic) names.push("italic");
  if (underline) names.push("underline");
  return names.filter(Boolean).join(" ");
}

/** What "1;31" and the like do to a style. */
function restyle(style, parameters) {
  const numbers = parameters.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at++) {
    const number = numbers[at];
    if (number === 0) Object.assign(style, { colour: "", bold: false, italic: false, underline: false });
    else if (number === 1) style.bold = true;
    else if (number === 3) style.italic = true;
    else if (number === 4) style.underline = true;
    else if (number === 22) style.bold = false;
    else if (number === 23) style.italic = false;
    else if (number === 24) style.underline = false;
    else if (number === 39) style.colour = "";
    else if (number >= 30 && number <= 37) style.colour = `ansi-${COLOURS[number - 30]}`;
    else if (number >= 90 && number <= 97) style.colour = `ansi-${COLOURS[number - 90]}`;
    else if (number === 38 || number === 48) at += numbers[at + 1] === 5 ? 2 : 4; // not shown
  }
}
