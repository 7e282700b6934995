"use strict";
// One search tree on a canvas: only what is in sight is drawn, so thousands of nodes stay fluid.
const el = (id) => document.getElementById(id);
const num = (n) => n.toLocaleString();
const canvas = el("tree"), pen = canvas.getContext("2d");

// --- what is known: it comes in pieces, of which the whole may be one ----------------------------

// Of a node of which nothing more is known yet.
const NEW = {
  parent: -1, depth: 0, tokens: 0, total: 0, reward: 0, path_reward: 0, text: null, math: null,
  cluster: -1, fate: "open", asked: 0, share: null, why: null, answer: null, score: null, vote: null,
};
let data, N, count = 0;

function clear() {
  data = {
    problem: "", problem_math: null, strategy: "", settings: {}, limits: {}, path_reward: "last",
    prompt_tokens: 0, answer: null, votes: [], end: null, kv: [], formulas: [],
  };
  N = {};
  for (const name in NEW) N[name] = [];
  count = 0;
}
clear();

// The page computes the rest with `lay`.
function grow({ nodes, kv = [], formulas = [], ...values }) {
  Object.assign(data, values);
  for (const step of kv) data.kv.push(step);
  for (const formula of formulas) data.formulas.push(formula);
  if (!nodes) return;
  const { first, ...columns } = nodes;
  for (const [name, column] of Object.entries(columns)) {
    for (; count < first + column.length; count++) {
      for (const each in NEW) N[each].push(NEW[each]);
    }
    column.forEach((value, at) => { N[name][first + at] = value; });
  }
}

// --- the tree ------------------------------------------------------------------------------------

let children = [], levels = [], last = 0, selectionAt = new Map(), clusterSize = new Map();
const done = (v) => N.fate[v] === "done";
function why(v) {
  const kv = selectionAt.get(N.depth[v]);
  const binds = kv && kv.budget !== null && kv.before > kv.budget;
  switch (N.why[v]) {
    case "reward":
      return N.share[v] && (data.strategy === "ETS" || data.strategy === "MPTS")
        ? "its reward earns none of the width beside the leaves that the pruner kept"
        : "its reward earns none of the width";
    case "cluster": return "another leaf kept says the same (its cluster is covered)";
    case "kv":
      return "not worth the KV cache of its branch"
        + (binds ? ", with room for " + num(kv.budget) + " tokens" : "");
    default: return "the search ended before it was decided";
  }
}
// Rows: nodes without children one below the other, those that end early closer together.
const COLUMN = 150, ROW = 22, TIGHT = 13, BAR = 26; // BAR: of a score of 1
let X = new Float64Array(0), Y = new Float64Array(0), floor = 0, byHeight = [];

function lay() {
  children = Array.from({ length: count }, () => []);
  levels = [];
  clusterSize = new Map();
  for (let v = 0; v < count; v++) {
    if (v > 0) children[N.parent[v]].push(v);
    (levels[N.depth[v]] ||= []).push(v);
    if (N.cluster[v] < 0) continue;
    const key = N.depth[v] + ":" + N.cluster[v];
    const seen = clusterSize.get(key) || { all: 0, kept: 0, mass: 0, given: 0 };
    seen.all++;
    seen.kept += N.fate[v] === "kept";
    seen.mass += N.share[v] || 0;
    seen.given += N.asked[v];
    clusterSize.set(key, seen);
  }
  last = Math.max(0, levels.length - 1);
  selectionAt = new Map(data.kv.map((step) => [step.depth, step]));
  X = new Float64Array(count);
  Y = new Float64Array(count);
  floor = 0;
  const todo = count ? [[0, false]] : [];
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
  byHeight = levels.map((level) => [...level].sort((a, b) => Y[a] - Y[b]));
  dirty = true;
}
const radius = (v) => Math.min(16, 4 + 1.8 * Math.sqrt(v ? N.asked[v] : 1));

// --- state ---------------------------------------------------------------------------------------

let time = 0, chosen = 0, hovered = -1, zoom = 1, left = 0, top_ = 0, dirty = true;
let fitX = 1, fitZoom = 1, fitted = true;
let matches = [], match = -1, needle = "";
let quiet = false; // whether the cluster of the chosen node is not pointed out
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
const CLUSTERS = [
  "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#009988",
];
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
      to.beginPath(); to.arc(x, y, r + Math.min(3, r * .6), 0, 7); to.stroke();
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
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const ratio = window.devicePixelRatio || 1;
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
  const mate = chosen && !quiet && N.cluster[chosen] >= 0 ? N.depth[chosen] + ":" + N.cluster[chosen] : "";
  pen.textBaseline = "middle";
  for (let d = 0; d <= time && d < levels.length; d++) {
    const x = d * COLUMN * zoomX() + left;
    if (x < -60 || x > width + 60) continue;
    let labelled = -1e9;
    for (const v of byHeight[d]) {
      if (Y[v] < low) continue;
      if (Y[v] > high) break;
      const y = sy(Y[v]), r = radius(v) * scale;
      if (matched.has(v) || (mate && N.depth[v] + ":" + N.cluster[v] === mate)) {
        pen.globalAlpha = .3; pen.fillStyle = matched.has(v) ? theme.match : theme.accent;
        pen.beginPath(); pen.arc(x, y, r + 5 * Math.max(.6, scale), 0, 7); pen.fill();
        pen.globalAlpha = 1;
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
      if (N.answer[v] !== null && y - labelled >= labelGap && (zoom > .25 || d === last)) {
        const text = clip(short(N.answer[v]), 14), wins = N.vote[v] === 0;
        pen.font = (wins ? "600 " : "") + Math.min(12, labelGap) + "px system-ui, sans-serif";
        pen.fillStyle = wins ? theme.ink : theme.soft;
        pen.fillText(text, x + r + 8, y);
        pen.globalAlpha = .45;
        const bar = x + r + 14 + pen.measureText(text).width;
        const room = d === last ? BAR : x + COLUMN * zoomX() - bar - 16;
        pen.fillRect(bar, y - 1.5, barLength(N.score[v], room), 3);
        pen.globalAlpha = 1;
        labelled = y;
      }
    }
  }
  pen.globalAlpha = .88; pen.fillStyle = theme.paper; pen.fillRect(0, 0, width, 22);
  pen.globalAlpha = 1;
  pen.font = "11px system-ui, sans-serif"; pen.fillStyle = theme.soft; pen.textAlign = "center";
  let right = -1e9;
  for (let d = 0; d <= time && d < levels.length; d++) {
    const x = d * COLUMN * zoomX() + left, text = d ? "step " + d : "problem";
    if (x - right < 56) continue;
    pen.fillText(text, x, 12); right = x;
  }
  pen.textAlign = "left";
}

// An answer where no formula can stand.
function short(answer) {
  if (raw) return answer;
  return answer.replace(/\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}/g, "$1/$2")
    .replace(/\\sqrt\{(\w*)\}/g, "√$1").replace(/\\pi(?![a-z])/g, "π").replace(/\^\{?\\circ\}?/g, "°");
}

// Of one scale for all, or bars could not be compared; none where it would reach the next level.
function barLength(score, room) { return BAR * score <= room ? BAR * score : 0; }

function loop() {
  if (dirty) { dirty = false; draw(); }
  requestAnimationFrame(loop);
}

