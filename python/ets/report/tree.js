"use strict";
// One search tree on a canvas: only what is in sight is drawn, so thousands of nodes stay fluid.
const data = JSON.parse(document.getElementById("data").textContent);
const N = data.nodes, count = N.parent.length;
const el = (id) => document.getElementById(id);
const canvas = el("tree"), pen = canvas.getContext("2d");

// --- the tree ------------------------------------------------------------------------------------

const children = Array.from({ length: count }, () => []);
const levels = [];
for (let v = 0; v < count; v++) {
  if (v > 0) children[N.parent[v]].push(v);
  (levels[N.depth[v]] ||= []).push(v);
}
const last = levels.length - 1;
const done = (v) => N.fate[v] === "done";
const selectionAt = new Map(data.kv.map((step) => [step.depth, step]));
function why(v) {
  const kv = selectionAt.get(N.depth[v]);
  const binds = kv && kv.budget !== null && kv.before > kv.budget;
  switch (N.why[v]) {
    case "reward":
      return N.share[v] && data.strategy === "ETS"
        ? "its reward earns none of the width beside the leaves that the pruner kept"
        : "its reward earns none of the width";
    case "cluster": return "another leaf kept says the same (its cluster is covered)";
    case "kv":
      return binds ? "not worth the KV cache of its branch, of which there are " + kv.budget.toLocaleString() + " tokens"
        : "not worth the KV cache of its branch";
    default: return "the search ended before it was decided";
  }
}
const clusterSize = new Map();
for (let v = 1; v < count; v++) {
  if (N.cluster[v] < 0) continue;
  const key = N.depth[v] + ":" + N.cluster[v];
  const seen = clusterSize.get(key) || { all: 0, kept: 0 };
  seen.all++;
  seen.kept += N.fate[v] === "kept";
  clusterSize.set(key, seen);
}

// Rows: nodes without children one below the other, those that end early closer together.
const COLUMN = 150, ROW = 22, TIGHT = 13;
const X = new Float64Array(count), Y = new Float64Array(count);
let floor = 0;
(function place() {
  const todo = [[0, false]];
  while (todo.length) {
    const [v, seen] = todo.pop();
    X[v] = N.depth[v] * COLUMN;
    if (!children[v].length) {
      const step = done(v) || N.asked[v] ? ROW : TIGHT;
      Y[v] = floor + step / 2;
      floor += step;
    } else if (seen) {
      const first = children[v][0], final = children[v][children[v].length - 1];
      Y[v] = (Y[first] + Y[final]) / 2;
    } else {
      todo.push([v, true]);
      for (let i = children[v].length - 1; i >= 0; i--) todo.push([children[v][i], false]);
    }
  }
})();
const byHeight = levels.map((level) => [...level].sort((a, b) => Y[a] - Y[b]));
const radius = (v) => Math.min(16, 4 + 1.8 * Math.sqrt(v ? N.asked[v] : 1));

// --- state ---------------------------------------------------------------------------------------

let time = last, chosen = 0, hovered = -1, zoom = 1, left = 0, top_ = 0, dirty = true;
let fitX = 1, fitZoom = 1, fitted = true;
let matches = [], match = -1, needle = "";
// After step k the search knows the steps of depth k, their rewards, and what it selected of them.
const visible = (v) => N.depth[v] <= time;
const onPath = new Set();

function choose(v, show = true) {
  chosen = v;
  onPath.clear();
  for (let u = v; u >= 0; u = N.parent[u]) onPath.add(u);
  if (show) reveal(v);
  describe(v);
  dirty = true;
}

// --- drawing -------------------------------------------------------------------------------------

const RAMPS = {
  light: [[94, 60, 153], [63, 111, 182], [31, 150, 137], [96, 170, 62], [218, 155, 8]],
  dark: [[164, 134, 230], [100, 154, 230], [52, 184, 162], [138, 204, 92], [244, 190, 56]],
};
function rewardColour(r) {
  const ramp = RAMPS[document.documentElement.dataset.theme];
  const at = Math.max(0, Math.min(1, r)) * (ramp.length - 1), i = Math.min(ramp.length - 2, at | 0);
  const part = at - i;
  return "rgb(" + ramp[i].map((c, k) => Math.round(c + (ramp[i + 1][k] - c) * part)).join() + ")";
}
const CLUSTERS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#009988"];
let theme = {};
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "soft", "edge", "edge-faint", "accent", "match"])
    theme[name] = style.getPropertyValue("--" + name).trim();
}

function shape(to, kind, x, y, r) {
  to.beginPath();
  if (kind === "reward") { // pointing down
    to.moveTo(x - r, y - r * .8); to.lineTo(x + r, y - r * .8); to.lineTo(x, y + r); to.closePath();
  } else if (kind === "kv") {
    to.rect(x - r * .85, y - r * .85, r * 1.7, r * 1.7);
  } else if (kind === "cluster") {
    to.moveTo(x, y - r * 1.15); to.lineTo(x + r * 1.15, y); to.lineTo(x, y + r * 1.15);
    to.lineTo(x - r * 1.15, y); to.closePath();
  } else {
    to.arc(x, y, r, 0, 7);
  }
}

function mark(to, v, x, y, r) {
  to.globalAlpha = N.why[v] ? .7 : 1;
  shape(to, N.why[v], x, y, r);
  if (N.why[v]) {
    to.fillStyle = theme.paper; to.fill();
    to.lineWidth = 1.4; to.strokeStyle = v ? rewardColour(N.reward[v]) : theme.soft; to.stroke();
  } else {
    to.fillStyle = v ? rewardColour(N.reward[v]) : theme.soft; to.fill();
    if (done(v) && zoom > .25) {
      to.lineWidth = 1.5; to.strokeStyle = to.fillStyle;
      to.beginPath(); to.arc(x, y, r + 3, 0, 7); to.stroke();
    }
  }
  to.globalAlpha = 1;
}

function edges(sy, low, high, test, colour, width) {
  pen.beginPath();
  for (let d = 1; d <= time; d++) {
    for (const v of byHeight[d]) {
      const u = N.parent[v];
      if ((Y[v] < low && Y[u] < low) || (Y[v] > high && Y[u] > high) || !test(v)) continue;
      const x0 = X[u] * zoomX() + left, x1 = X[v] * zoomX() + left, bend = (x1 - x0) * .45;
      const y0 = sy(Y[u]), y1 = sy(Y[v]);
      pen.moveTo(x0, y0);
      pen.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1);
    }
  }
  pen.lineWidth = width; pen.strokeStyle = colour; pen.stroke();
}

// Levels stay apart when a tall tree is shown small, and close together on a narrow screen.
const zoomX = () => fitX * Math.max(1, zoom / Math.max(fitZoom, fitX));

function draw() {
  const width = canvas.clientWidth, height = canvas.clientHeight, ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const sy = (y) => y * zoom + top_, low = (-30 - top_) / zoom, high = (height + 30 - top_) / zoom;
  const scale = Math.min(1.6, Math.max(.34, Math.sqrt(zoom))), matched = new Set(matches);
  const thin = Math.min(1, .35 + scale * .65); // thousands of edges would run into each other
  edges(sy, low, high, (v) => N.why[v], theme["edge-faint"], thin);
  edges(sy, low, high, (v) => !N.why[v] && !onPath.has(v), theme.edge, 1.2 * thin);
  edges(sy, low, high, (v) => onPath.has(v), theme.accent, 2);
  // Answers one below the other are as far apart as their rows; below 10 pixels some have no label.
  const labelGap = Math.max(10, Math.min(13, ROW * zoom * .98));
  const mate = chosen && N.cluster[chosen] >= 0 ? N.depth[chosen] + ":" + N.cluster[chosen] : "";
  pen.textBaseline = "middle";
  for (let d = 0; d <= time; d++) {
    const x = d * COLUMN * zoomX() + left;
    if (x < -60 || x > width + 60) continue;
    let labelled = -1e9;
    for (const v of byHeight[d]) {
      if (Y[v] < low) continue;
      if (Y[v] > high) break;
      const y = sy(Y[v]), r = radius(v) * scale;
      if (matched.has(v) || (mate && N.depth[v] + ":" + N.cluster[v] === mate)) {
        pen.globalAlpha = .3; pen.fillStyle = matched.has(v) ? theme.match : theme.accent;
        pen.beginPath(); pen.arc(x, y, r + 5 * Math.max(.6, scale), 0, 7); pen.fill(); pen.globalAlpha = 1;
      }
      if (N.cluster[v] >= 0 && zoom > .3) {
        pen.fillStyle = CLUSTERS[N.cluster[v] % CLUSTERS.length];
        const tall = Math.min(5 * scale, TIGHT * zoom * .42);
        pen.fillRect(x - r - 7 * scale, y - tall, 3 * scale, 2 * tall);
      }
      mark(pen, v, x, y, r);
      if (v === chosen || v === hovered) {
        pen.lineWidth = 2; pen.strokeStyle = theme.accent;
        pen.beginPath(); pen.arc(x, y, r + 6, 0, 7); pen.stroke();
      }
      if (done(v) && N.answer[v] !== null && y - labelled >= labelGap && (zoom > .25 || d === last)) {
        const text = clip(N.answer[v], 14), wins = N.vote[v] === 0;
        pen.font = (wins ? "600 " : "") + Math.min(12, labelGap) + "px system-ui, sans-serif";
        pen.fillStyle = wins ? theme.ink : theme.soft;
        pen.fillText(text, x + r + 8, y);
        pen.globalAlpha = .45;
        pen.fillRect(x + r + 8 + pen.measureText(text).width + 6, y - 1.5, 26 * (N.score[v] || 0), 3);
        pen.globalAlpha = 1;
        labelled = y;
      }
    }
  }
  pen.globalAlpha = .88; pen.fillStyle = theme.paper; pen.fillRect(0, 0, width, 22); pen.globalAlpha = 1;
  pen.font = "11px system-ui, sans-serif"; pen.fillStyle = theme.soft; pen.textAlign = "center";
  let right = -1e9;
  for (let d = 0; d <= time; d++) {
    const x = d * COLUMN * zoomX() + left, text = d ? "step " + d : "problem";
    if (x - right < 56) continue;
    pen.fillText(text, x, 12); right = x;
  }
  pen.textAlign = "left";
}

function loop() {
  if (dirty) { dirty = false; draw(); }
  requestAnimationFrame(loop);
}

// --- the view ------------------------------------------------------------------------------------

function fit() {
  zoom = fitZoom = Math.min(1.4, (canvas.clientHeight - 62) / Math.max(1, floor)); // room for words above and below
  fitX = Math.min(1.4, Math.max(.15, (canvas.clientWidth - 150) / Math.max(1, last * COLUMN)));
  left = 46;
  fitted = true;
  top_ = 28 + Math.max(0, (canvas.clientHeight - 62 - floor * zoom) / 2);
  dirty = true;
}

function reveal(v) {
  const x = X[v] * zoomX() + left, y = Y[v] * zoom + top_, w = canvas.clientWidth, h = canvas.clientHeight;
  if (x < 40 || x > w - 60) { left += w / 2 - x; fitted = false; }
  if (y < 26 || y > h - 12) { top_ += h / 2 - y; fitted = false; }
}

function zoomAt(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const next = Math.min(4, Math.max(.01, zoom * factor)), before = zoomX();
  const column = (x - left) / before;
  top_ = y - (y - top_) * next / zoom;
  zoom = next;
  left = x - column * zoomX();
  fitted = false; dirty = true;
}

function nodeAt(px, py) {
  let best = -1, least = 16 * 16;
  const d = Math.round((px - left) / (COLUMN * zoomX()));
  for (const level of [d - 1, d, d + 1]) {
    if (!(level >= 0 && level <= time)) continue;
    for (const v of byHeight[level]) {
      const dx = X[v] * zoomX() + left - px, dy = Y[v] * zoom + top_ - py;
      if (dy < -16) continue;
      if (dy > 16) break;
      if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = v; }
    }
  }
  return best;
}

const held = new Map();
let moved = false, spread = 0;
canvas.addEventListener("pointerdown", (e) => {
  canvas.setPointerCapture(e.pointerId);
  held.set(e.pointerId, [e.offsetX, e.offsetY]);
  moved = false; spread = 0;
});
canvas.addEventListener("pointermove", (e) => {
  const from = held.get(e.pointerId);
  if (!from) {
    const v = nodeAt(e.offsetX, e.offsetY);
    if (v !== hovered) { hovered = v; canvas.classList.toggle("over", v >= 0); describe(v >= 0 ? v : chosen); dirty = true; }
    return;
  }
  const dx = e.offsetX - from[0], dy = e.offsetY - from[1];
  if (!moved && Math.hypot(dx, dy) < 4) return;
  moved = true;
  held.set(e.pointerId, [e.offsetX, e.offsetY]);
  canvas.classList.add("dragging");
  if (held.size === 2) { // two fingers
    const [a, b] = [...held.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
    if (spread) zoomAt(now / spread, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    spread = now;
  } else { left += dx; top_ += dy; }
  fitted = false; dirty = true;
});
function release(e) {
  if (e.type === "pointerup" && held.has(e.pointerId) && !moved) {
    const v = nodeAt(e.offsetX, e.offsetY);
    if (v >= 0) choose(v, false);
  }
  held.delete(e.pointerId);
  canvas.classList.remove("dragging");
}
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);
canvas.addEventListener("pointerleave", () => { if (hovered >= 0) { hovered = -1; describe(chosen); dirty = true; } });
canvas.addEventListener("wheel", (e) => {
  e.preventDefault();
  if (e.ctrlKey || !e.shiftKey && Math.abs(e.deltaY) >= Math.abs(e.deltaX)) zoomAt(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY);
  else { left -= e.deltaX || e.deltaY; fitted = false; dirty = true; }
}, { passive: false });

function walk(key) {
  const level = byHeight[N.depth[chosen]], at = level.indexOf(chosen);
  if (key === "ArrowLeft") return N.parent[chosen];
  if (key === "ArrowRight") {
    const next = children[chosen].filter(visible);
    return next.find((v) => N.fate[v] === "kept" || done(v)) ?? next[0];
  }
  if (key === "ArrowUp") return level[at - 1];
  if (key === "ArrowDown") return level[at + 1];
  return 0;
}
canvas.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home"].includes(e.key)) {
    const v = walk(e.key);
    if (v >= 0) choose(v);
  } else if (e.key === "+" || e.key === "=") zoomAt(1.25);
  else if (e.key === "-") zoomAt(.8);
  else if (e.key === "0") fit();
  else return;
  e.preventDefault();
});
document.addEventListener("keydown", (e) => {
  if (e.target === el("find") || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "/") { e.preventDefault(); el("find").focus(); }
  else if (e.key === "[") setTime(time - 1);
  else if (e.key === "]") setTime(time + 1);
});

// --- time ----------------------------------------------------------------------------------------

// What the search had after the step: tokens, KV cache of the selection, votes.
function known() {
  let tokens = 0, complete = 0;
  const got = new Map(), kv = selectionAt.get(time);
  for (let v = 1; v < count && visible(v); v++) {
    tokens += N.tokens[v];
    complete += done(v);
    if (N.vote[v] !== null) got.set(N.vote[v], (got.get(N.vote[v]) || 0) + 1);
  }
  const votes = [...got].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([vote, n]) => clip(data.votes[vote][0], 14) + " × " + n);
  return [
    tokens.toLocaleString() + " tokens sampled",
    kv ? "KV " + kv.before.toLocaleString() + " → " + kv.after.toLocaleString() + " tokens (REBASE " + kv.rebase.toLocaleString() + ")" : null,
    complete + " of " + data.settings.width.toLocaleString() + " complete" + (votes.length ? ": " + votes.join(", ") : ""),
  ].filter((part) => part).join(" · ");
}

function setTime(to) {
  time = Math.max(0, Math.min(last, to));
  el("time").value = time;
  el("when").textContent = "step " + time + " of " + last;
  el("time").setAttribute("aria-valuetext", el("when").textContent);
  el("known").textContent = known();
  let v = chosen;
  while (!visible(v)) v = N.parent[v];
  choose(v, false);
}
el("time").max = last;
el("time").addEventListener("input", (e) => setTime(+e.target.value));
el("back").addEventListener("click", () => setTime(time - 1));
el("forth").addEventListener("click", () => setTime(time + 1));
el("in").addEventListener("click", () => zoomAt(1.25));
el("out").addEventListener("click", () => zoomAt(.8));
el("fit").addEventListener("click", fit);

// --- search --------------------------------------------------------------------------------------

function search() {
  needle = el("find").value.toLowerCase();
  matches = [];
  if (needle) for (let v = 1; v < count; v++) if ((N.text[v] || "").toLowerCase().includes(needle)) matches.push(v);
  match = -1;
  showMatches();
  dirty = true;
}
function showMatches() {
  el("matches").textContent = !needle ? "" : matches.length ? (match < 0 ? "" : match + 1 + " of ") + matches.length : "none";
}
function step(by) {
  if (!matches.length) return;
  match = match < 0 && by < 0 ? matches.length - 1 : (match + by + matches.length) % matches.length;
  const v = matches[match];
  if (!visible(v)) setTime(N.depth[v]);
  choose(v);
  showMatches();
}
el("find").addEventListener("input", search);
el("find").addEventListener("keydown", (e) => {
  if (e.key === "Enter") { e.preventDefault(); step(e.shiftKey ? -1 : 1); }
  if (e.key === "Escape") { el("find").value = ""; search(); canvas.focus(); }
});
el("next").addEventListener("click", () => step(1));
el("previous").addEventListener("click", () => step(-1));

// --- words: what a model wrote only ever becomes a text node -------------------------------------

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

function fateOf(v) {
  if (done(v)) return N.answer[v] === null ? "complete, but without an answer" : "complete: answer " + clip(N.answer[v], 200);
  if (N.why[v]) return (N.why[v] === "ended" ? "left: " : "pruned: ") + why(v);
  return N.fate[v] === "open" ? "waits for its selection" : "continued " + N.asked[v] + (N.asked[v] === 1 ? " time" : " times");
}

let shown = -1;
function describe(v) {
  const box = el("detail");
  shown = v;
  box.replaceChildren();
  make("h2", v === 0 ? "Problem" : "Step " + N.depth[v] + " · node " + v, box);
  make("p", fateOf(v), box, "fate");
  const body = make("p", undefined, box, "text"), text = v === 0 ? data.problem : (N.text[v] ?? "(no text)").trim();
  if (!needle) body.textContent = text;
  else { // the match stands out
    let from = 0, at;
    const small = text.toLowerCase();
    while (small.length === text.length && (at = small.indexOf(needle, from)) >= 0) {
      body.append(text.slice(from, at));
      make("mark", text.slice(at, at + needle.length), body);
      from = at + needle.length;
    }
    body.append(text.slice(from));
  }
  const rows = make("tbody", undefined, make("table", undefined, box));
  const row = (name, value) => {
    if (value === null || value === undefined) return;
    const line = make("tr", undefined, rows);
    make("th", name, line).scope = "row";
    make("td", value, line);
  };
  if (v) {
    row("reward", N.reward[v].toFixed(3));
    row("path reward (" + data.path_reward + ")", N.path_reward[v].toPrecision(3));
    const selection = selectionAt.get(N.depth[v]), of = (n) => n + " of " + selection.width.toLocaleString();
    if (selection && !done(v)) {
      row("width given", of(N.asked[v]));
      row("REBASE's share", N.share[v] === null ? null : of(N.share[v]));
    }
    if (N.cluster[v] >= 0) {
      const mates = clusterSize.get(N.depth[v] + ":" + N.cluster[v]);
      row("cluster", N.cluster[v] + " (" + mates.kept + " of " + mates.all + " kept)");
    }
    if (done(v) && N.score[v] !== null) row("score", N.score[v].toPrecision(3));
    if (N.vote[v] !== null) {
      const [answer, weight, votes] = data.votes[N.vote[v]];
      row("votes for " + clip(answer, 24), votes + " (weight " + weight.toFixed(2) + ")");
    }
    row("tokens", N.tokens[v].toLocaleString());
    row("tokens of its path", N.total[v].toLocaleString());
    way(v, box);
  } else {
    row("tokens", data.prompt_tokens.toLocaleString());
    for (const [name, value] of Object.entries({ ...data.settings, ...data.limits })) row(name, value);
  }
}

// All steps up to this one, to be read in one piece.
let wayOpen = false;
function way(v, box) {
  if (N.parent[v] <= 0) return;
  const path = [];
  for (let u = v; u > 0; u = N.parent[u]) path.unshift(u);
  const fold = make("details", undefined, box);
  fold.open = wayOpen;
  fold.addEventListener("toggle", () => { wayOpen = fold.open; });
  make("summary", "All " + path.length + " steps up to here", fold);
  const list = make("ol", undefined, fold);
  for (const u of path) {
    const line = make("li", undefined, list);
    make("span", (N.text[u] ?? "(no text)").trim(), line);
    make("small", " " + N.reward[u].toFixed(2), line).title = "reward";
  }
}

function fact(name, value, strong) {
  const pair = make("div", undefined, el("facts"));
  make("dt", name, pair);
  make("dd", value, pair, strong ? "strong" : "");
}
const sum = (column) => data.kv.reduce((total, step) => total + step[column], 0);
function less(kept, rebase) {
  const part = Math.round(100 * (1 - kept / rebase));
  return part < 0 ? -part + "% more" : part + "% less";
}
el("problem").textContent = data.problem || "Search tree";
fact("answer", data.answer === null ? "none" : clip(data.answer, 120), data.answer !== null);
if (data.votes.length) fact("votes", data.votes.slice(0, 4).map(([a, w, n]) => clip(a, 30) + " × " + n + " (weight " + w.toFixed(2) + ")").join(", ")
  + (data.votes.length > 4 ? " and " + (data.votes.length - 4) + " more" : ""));
fact("strategy", data.strategy + " " + Object.entries(data.settings).filter(([k, v]) => v !== null && /width|lambda|temperature$|beam|subtrees|resampling/.test(k))
  .map(([k, v]) => k + " " + v).join(", "));
if (data.kv.length) {
  const kept = sum("after"), rebase = sum("rebase");
  fact("KV kept", kept.toLocaleString() + " tokens" + (rebase ? ", REBASE " + rebase.toLocaleString()
    + " (" + less(kept, rebase) + ")" : ""));
}
fact("sampled", N.tokens.reduce((total, n) => total + n, -data.prompt_tokens).toLocaleString() + " tokens in " + (count - 1).toLocaleString() + " steps");
fact("ended", (data.end || "not yet").replaceAll("_", " "));

// --- legend and theme ----------------------------------------------------------------------------

function legend() {
  const list = el("legend");
  list.replaceChildren();
  const item = (text, width, paint) => {
    const line = make("li", undefined, list), box = make("canvas", undefined, line, width > 20 ? "ramp" : "");
    box.width = width * 2; box.height = 32;
    const to = box.getContext("2d");
    to.scale(2, 2);
    paint(to);
    make("span", text, line);
  };
  item("reward, 0 to 1", 90, (to) => {
    for (let x = 0; x < 90; x++) { to.fillStyle = rewardColour(x / 89); to.fillRect(x, 4, 1, 8); }
  });
  const sign = (kind) => (to) => {
    shape(to, kind, 10, 8, 4.6);
    to.strokeStyle = theme.soft; to.lineWidth = 1.4; to.stroke();
  };
  item("continued; the larger, the more often", 20, (to) => { shape(to, "", 10, 8, 5); to.fillStyle = theme.soft; to.fill(); });
  item("complete, with its answer and its score", 20, (to) => {
    shape(to, "", 10, 8, 3.4); to.fillStyle = theme.soft; to.fill();
    to.beginPath(); to.arc(10, 8, 6.2, 0, 7); to.strokeStyle = theme.soft; to.stroke();
  });
  const used = new Set(N.why);
  if (used.has("reward")) item("pruned: reward", 20, sign("reward"));
  if (used.has("kv")) item("pruned: KV cost", 20, sign("kv"));
  if (used.has("cluster")) item("pruned: cluster covered", 20, sign("cluster"));
  if (used.has("ended")) item("left: the search ended", 20, sign("ended"));
  if (N.cluster.some((c) => c >= 0)) item("cluster, by colour", 20, (to) => {
    CLUSTERS.slice(0, 3).forEach((c, i) => { to.fillStyle = c; to.fillRect(4 + 5 * i, 3, 3, 10); });
  });
}
const wide = window.matchMedia("(prefers-color-scheme: dark)");
const MODES = ["auto", "light", "dark"];
let mode = "auto";
function paint() {
  document.documentElement.dataset.theme = mode === "auto" ? (wide.matches ? "dark" : "light") : mode;
  el("theme").textContent = "Theme: " + mode;
  readTheme(); legend();
  dirty = true;
}
el("theme").addEventListener("click", () => { mode = MODES[(MODES.indexOf(mode) + 1) % 3]; paint(); });
wide.addEventListener("change", paint);
new ResizeObserver(() => { if (fitted) fit(); dirty = true; }).observe(canvas);

paint();
fit();
// The solution with the strongest vote, or the problem where none is complete.
chosen = N.score.reduce((best, s, v) => s !== null && (best < 0 || s > N.score[best]) ? v : best, -1);
chosen = Math.max(0, chosen);
setTime(last);
loop();
