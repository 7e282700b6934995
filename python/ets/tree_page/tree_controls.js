// How the tree is moved, walked, stepped through and searched.

// --- the view ------------------------------------------------------------------------------------

function fit() {
  const height = canvas.clientHeight - 62; // less room for words above and below
  zoom = fitZoom = Math.min(1.4, height / Math.max(1, floor));
  fitX = Math.min(1.4, Math.max(.15, (canvas.clientWidth - 150) / Math.max(1, last * COLUMN)));
  left = 46;
  fitted = true;
  top_ = 28 + Math.max(0, (height - floor * zoom) / 2);
  dirty = true;
}

function reveal(v) {
  const x = X[v] * zoomX() + left, y = Y[v] * zoom + top_;
  const w = canvas.clientWidth, h = canvas.clientHeight;
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
    if (!(level >= 0 && level <= time && level < levels.length)) continue;
    for (const v of byHeight[level]) {
      const dx = X[v] * zoomX() + left - px, dy = Y[v] * zoom + top_ - py;
      if (dy < -16) continue;
      if (dy > 16) break;
      if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = v; }
    }
  }
  return best;
}

function hover(v) {
  if (v === hovered) return;
  hovered = v;
  canvas.classList.toggle("over", v >= 0);
  describe(v >= 0 ? v : chosen);
  dirty = true;
}

const held = new Map();
let moved = false, spread = 0;
canvas.addEventListener("pointerdown", (e) => {
  canvas.setPointerCapture(e.pointerId);
  held.set(e.pointerId, [e.offsetX, e.offsetY]);
  moved = held.size > 1; spread = 0; // a second finger makes no tap
});
canvas.addEventListener("pointermove", (e) => {
  const from = held.get(e.pointerId);
  if (!from) {
    hover(nodeAt(e.offsetX, e.offsetY));
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
canvas.addEventListener("pointerleave", () => hover(-1));
canvas.addEventListener("wheel", (e) => {
  e.preventDefault();
  if (e.ctrlKey || !e.shiftKey && Math.abs(e.deltaY) >= Math.abs(e.deltaX)) {
    zoomAt(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY);
  } else { left -= e.deltaX || e.deltaY; fitted = false; dirty = true; }
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
  if (e.target.matches("textarea, select, input:not([type=range])")) return;
  if (e.ctrlKey || e.metaKey || e.altKey) return;
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
  const votes = [...got].sort((a, b) => b[1] - a[1]).slice(0, 3)
    .map(([vote, n]) => clip(short(data.votes[vote][0]), 14) + "\u00a0×\u00a0" + n);
  return [
    num(tokens) + " tokens sampled",
    kv && "KV " + num(kv.before) + " → " + num(kv.after) + " tokens (REBASE " + num(kv.rebase) + ")",
    num(complete) + " of " + num(data.settings.width) + " complete"
      + (votes.length ? ": " + votes.join(", ") : ""),
  ].filter((part) => part).join(" · ");
}

function setTime(to) {
  time = Math.max(0, Math.min(last, to));
  el("time").max = last;
  el("time").value = time;
  el("when").textContent = "step " + time + " of " + last;
  el("time").setAttribute("aria-valuetext", el("when").textContent);
  el("known").textContent = known();
  let v = chosen;
  while (!visible(v)) v = N.parent[v];
  choose(v, false);
}
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
  for (let v = 1; needle && v < count; v++) {
    if ((N.text[v] || "").toLowerCase().includes(needle)) matches.push(v);
  }
  match = -1;
  showMatches();
  dirty = true;
}
function showMatches() {
  const found = (match < 0 ? "" : match + 1 + " of ") + (matches.length || "none");
  el("matches").textContent = needle ? found : "";
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

