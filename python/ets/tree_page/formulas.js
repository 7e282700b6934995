// Texts that models wrote, with their formulas: elements and text nodes, never markup.

const MATHML = "http://www.w3.org/1998/Math/MathML";
let raw = false; // whether formulas are shown as they were written

function make(tag, text, parent, name) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (name) made.className = name;
  parent?.append(made);
  return made;
}

function clip(text, most) {
  const letters = Array.from(text);
  return letters.length > most ? letters.slice(0, most - 1).join("") + "…" : text;
}

// A formula is [tag, attributes, child, ...], without attributes where there are none.
function element(part) {
  if (typeof part === "string") return document.createTextNode(part);
  const [tag, ...rest] = part;
  const made = document.createElementNS(MATHML, tag);
  if (rest.length && typeof rest[0] === "object" && !Array.isArray(rest[0])) {
    for (const [name, value] of Object.entries(rest.shift())) made.setAttribute(name, value);
  }
  made.append(...rest.map(element));
  return made;
}

function addFormula(box, part, written) {
  const block = part[1]?.display === "block";
  const frame = make("span", undefined, box, block ? "formula block" : "formula");
  frame.title = written;
  frame.append(element(part));
}

// Where `needle`, in small letters, stands in a text.
function findings(text, needle) {
  const small = text.toLowerCase(), found = [];
  if (!needle || small.length !== text.length) return found;
  for (let at = 0; (at = small.indexOf(needle, at)) >= 0; at += needle.length) found.push(at);
  return found;
}

// A text into a box. `spans` are begin, end and number of its formulas, one behind the other. What
// `needle` finds stands out; a formula in which it finds something is shown as it was written.
function write(box, text, spans, needle = "") {
  const found = findings(text, needle), stop = text.trimEnd().length;
  let at = text.length - text.trimStart().length;
  const plain = (end) => {
    for (const from of found.filter((from) => from >= at && from < end)) {
      box.append(text.slice(at, from));
      make("mark", text.slice(from, from + needle.length), box);
      at = from + needle.length;
    }
    box.append(text.slice(at, end));
    at = end;
  };
  for (let i = 0; spans && !raw && i < spans.length; i += 3) {
    const [begin, end, number] = spans.slice(i, i + 3), part = data.formulas[number];
    if (!part || found.some((from) => from < end && from + needle.length > begin)) continue;
    const block = part[1]?.display === "block";
    // It has lines of its own anyway.
    const gap = block ? text.slice(at, begin).match(/[ \t]*\n?[ \t]*$/)[0].length : 0;
    plain(begin - gap);
    addFormula(box, part, text.slice(begin, end));
    at = end + (block ? text.slice(end).match(/^[ \t]*\n?/)[0].length : 0);
  }
  if (at < stop) plain(stop);
  for (const frame of box.querySelectorAll(".formula")) {
    if (frame.offsetWidth > box.clientWidth && box.clientWidth) frame.classList.add("block");
  }
}

// An answer, which has no signs around its formula.
function writeAnswer(box, answer, number, most) {
  const part = number === null || number === undefined ? null : data.formulas[number];
  if (part && !raw) addFormula(box, part, answer);
  else box.append(clip(answer, most));
}
