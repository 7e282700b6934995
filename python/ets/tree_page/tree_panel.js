// What is said beside the tree.

function fateOf(v) {
  if (done(v)) {
    const answer = N.answer[v];
    return answer === null ? "complete, but without an answer" : "complete: answer ";
  }
  if (N.why[v]) return (N.why[v] === "ended" ? "left: " : "pruned: ") + why(v);
  if (N.fate[v] === "open") return "waits for its selection";
  return "continued " + N.asked[v] + (N.asked[v] === 1 ? " time" : " times");
}

let said = "";
function describe(v) {
  // Of a tree that grows, most pieces change nothing of the node that is shown.
  const now = JSON.stringify([
    v, count > v && [N.fate[v], N.asked[v], N.answer[v], N.vote[v]], needle, raw, data.votes.length,
  ]);
  if (now === said) return;
  said = now;
  const box = el("detail");
  box.replaceChildren();
  if (v >= count) return;
  make("h2", v === 0 ? "Problem" : "Step " + N.depth[v] + " · node " + v, box);
  const fate = make("p", fateOf(v), box, "fate");
  const pool = N.vote[v] === null ? null : data.votes[N.vote[v]];
  if (N.answer[v] !== null) writeAnswer(fate, N.answer[v], pool?.[0] === N.answer[v] ? pool[3] : null, 200);
  const text = v === 0 ? data.problem : (N.text[v] ?? "(no text)");
  write(make("p", undefined, box, "text"), text, v === 0 ? data.problem_math : N.math[v], needle);
  const rows = make("tbody", undefined, make("table", undefined, box));
  const row = (name, value) => {
    if (value === null || value === undefined) return;
    const line = make("tr", undefined, rows);
    make("th", name, line).scope = "row";
    make("td", value, line);
    return line.firstChild;
  };
  if (v) {
    row("reward", N.reward[v].toFixed(3));
    row("path reward (" + data.path_reward + ")", N.path_reward[v].toPrecision(3));
    const selection = selectionAt.get(N.depth[v]), of = (n) => n + " of " + num(selection.width);
    if (selection && !done(v)) {
      row("width given", of(N.asked[v]));
      row("REBASE's share", N.share[v] === null ? null : of(N.share[v]));
    }
    if (N.cluster[v] >= 0) {
      const mates = clusterSize.get(N.depth[v] + ":" + N.cluster[v]);
      row("cluster", N.cluster[v] + " (" + mates.kept + " of " + mates.all + " kept)");
      if (data.strategy === "MPTS" && selection && !done(v)) {
        row("its mass", of(mates.mass) + ", " + mates.given + " given");
      }
    }
    if (done(v) && N.score[v] !== null) row("score", N.score[v].toPrecision(3));
    if (pool) {
      const [answer, weight, votes, formula] = pool;
      writeAnswer(row("votes for ", votes + " (weight " + weight.toFixed(2) + ")"), answer, formula, 24);
    }
    row("tokens", num(N.tokens[v]));
    row("tokens of its path", num(N.total[v]));
    way(v, box);
  } else {
    row("tokens", num(data.prompt_tokens));
    const all = { ...data.settings, ...data.limits };
    for (const [name, value] of Object.entries(all)) row(name, value);
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
    write(make("span", undefined, line), N.text[u] ?? "(no text)", N.math[u]);
    make("small", " " + N.reward[u].toFixed(2), line).title = "reward";
  }
}

// --- the header ----------------------------------------------------------------------------------

function fact(name, value, strong) {
  const pair = make("div", undefined, el("facts"));
  make("dt", name, pair);
  return make("dd", value, pair, strong ? "strong" : "");
}
const sum = (column) => data.kv.reduce((total, step) => total + step[column], 0);
function less(kept, rebase) {
  const part = Math.round(100 * (1 - kept / rebase));
  return part === 0 ? "as much" : part < 0 ? -part + "% more" : part + "% less";
}
const MAIN = /width|lambda|temperature$|beam|subtrees|resampling/; // the problem's panel has all
function showFacts() {
  el("facts").replaceChildren();
  const answer = fact("answer", data.answer === null ? "none" : null, data.answer !== null);
  if (data.answer !== null) writeAnswer(answer, data.answer, data.votes[0]?.[3], 120);
  if (data.votes.length) {
    const list = fact("votes", null);
    data.votes.slice(0, 4).forEach(([given, weight, n, formula], at) => {
      if (at) list.append(", ");
      writeAnswer(list, given, formula, 30);
      list.append(" × " + n + " (weight " + weight.toFixed(2) + ")");
    });
    const more = data.votes.length - 4;
    if (more > 0) list.append(" and " + more + " more");
  }
  fact("strategy", data.strategy + " " + Object.entries(data.settings)
    .filter(([name, value]) => value !== null && MAIN.test(name))
    .map(([name, value]) => name + " " + value).join(", "));
  if (data.kv.length) {
    const kept = sum("after"), rebase = sum("rebase");
    const beside = rebase ? ", REBASE " + num(rebase) + " (" + less(kept, rebase) + ")" : "";
    fact("KV kept", num(kept) + " tokens" + beside);
  }
  const sampled = N.tokens.reduce((total, n) => total + n, -data.prompt_tokens);
  fact("sampled", num(sampled) + " tokens in " + num(Math.max(0, count - 1)) + " steps");
  fact("ended", (data.end || "not yet").replaceAll("_", " "));
}
function showProblem() {
  const box = el("problem");
  box.replaceChildren();
  write(box, data.problem || "Search tree", data.problem ? data.problem_math : null);
}

// --- legend and theme ----------------------------------------------------------------------------

function legend() {
  const list = el("legend");
  list.replaceChildren();
  const item = (text, width, paint) => {
    const line = make("li", undefined, list);
    const box = make("canvas", undefined, line, width > 20 ? "ramp" : "");
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
  item("continued; the larger, the more often", 20, (to) => {
    shape(to, "", 10, 8, 5); to.fillStyle = theme.soft; to.fill();
  });
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
  const system = wide.matches ? "dark" : "light";
  document.documentElement.dataset.theme = mode === "auto" ? system : mode;
  el("theme").textContent = "Theme: " + mode;
  readTheme(); legend();
  dirty = true;
}
el("theme").addEventListener("click", () => {
  mode = MODES[(MODES.indexOf(mode) + 1) % MODES.length];
  paint();
});
wide.addEventListener("change", paint);
new ResizeObserver(() => { if (fitted) fit(); dirty = true; }).observe(canvas);

// --- all of it -----------------------------------------------------------------------------------

function showRaw() {
  el("raw").hidden = !data.formulas.length;
  el("raw").setAttribute("aria-pressed", raw);
}
el("raw").addEventListener("click", () => {
  raw = !raw;
  showAll();
});

// Of the solutions that gave the answer the best: one with a higher score may have been outvoted. The
// problem, where there is no answer.
function winner() {
  let best = 0;
  for (let v = 1; v < count; v++) {
    if (N.vote[v] === 0 && (best === 0 || N.score[v] > N.score[best])) best = v;
  }
  return best;
}

function showAll() {
  showRaw(); showProblem(); showFacts();
  describe(hovered >= 0 ? hovered : chosen);
}
