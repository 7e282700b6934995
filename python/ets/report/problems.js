"use strict";
// The list of problems. All text goes in as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("problem-data").textContent);
  const table = document.getElementById("problem-table");
  const more = document.getElementById("more");
  const find = document.getElementById("find");
  const STEP = 100;
  const strategies = [...new Set(data.cells.map((cell) => cell.strategy))];
  let kind = "all", sortBy = null, down = false, shown = STEP;

  const mean = (rows, of) => rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  data.problems.forEach((problem, number) => {
    problem.number = number;
    problem.right = mean(problem.rows, (row) => +row.right);
    problem.kv = mean(problem.rows, (row) => row.kv);
    problem.tokens = mean(problem.rows, (row) => row.policy + row.prm);
    problem.haystack = [problem.id, problem.text, problem.expected, ...problem.rows.map((row) => row.answer)]
      .join("\n").toLowerCase();
  });

  const whole = (x) => Math.round(x).toLocaleString("en-US");
  function make(tag, content, attributes = {}) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (Array.isArray(content)) node.append(...content);
    else if (content !== null && content !== undefined) node.textContent = content;
    return node;
  }

  const columns = [
    ["problem", (p) => p.number, "word"],
    ["expected", (p) => p.expected, "word"],
    ...strategies.map((name) => [name, (p) => {
      const rows = p.rows.filter((row) => data.cells[row.cell].strategy === name);
      return rows.length ? mean(rows, (row) => +row.right) : null;
    }, "word"]),
    ["right", (p) => p.right, ""],
    ["KV", (p) => p.kv, ""],
    ["tokens", (p) => p.tokens, ""],
  ];

  function boxes(problem, strategy) {
    const found = [];
    data.cells.forEach((cell, at) => {
      if (cell.strategy !== strategy) return;
      const rows = problem.rows.filter((row) => row.cell === at);
      const share = rows.length ? mean(rows, (row) => +row.right) : null;
      const name = share === null ? "gone" : share === 1 ? "yes" : share === 0 ? "no" : "part";
      const answers = rows.map((row) => row.answer ?? "no answer").join(" · ");
      const words = { gone: "not searched", yes: "right", no: "wrong", part: "some seeds right" }[name];
      const title = `${cell.label}: ${words}${answers ? ", " + answers : ""}`;
      found.push(make("i", null, { class: `box ${name}`, title, role: "img", "aria-label": title }));
    });
    return make("td", found, { class: "word" });
  }

  function line(problem) {
    const key = make("button", problem.id, { class: "key", "aria-expanded": "false" });
    const row = make("tr", [
      make("td", [key, make("div", problem.text, { class: "clip" })], { class: "text" }),
      make("td", problem.expected, { class: "word answer" }),
      ...strategies.map((name) => boxes(problem, name)),
      make("td", `${problem.rows.filter((r) => r.right).length}/${problem.rows.length}`),
      make("td", whole(problem.kv)),
      make("td", whole(problem.tokens)),
    ], { class: "problem" });
    row.addEventListener("click", () => {
      const open = key.getAttribute("aria-expanded") === "true";
      key.setAttribute("aria-expanded", String(!open));
      if (open) row.nextSibling.remove();
      else row.after(make("tr", [details(problem)]));
    });
    return row;
  }

  function votes(row) {
    const chips = row.votes.map(([count, right], at) => make("span", count, {
      class: right ? "yes" : "",
      title: `${count} for ${at === 0 ? "the answer that won" : "another answer"}, ${right ? "right" : "wrong"}`,
    }));
    if (row.none) chips.push(make("span", row.none, { class: "none", title: `${row.none} without an answer` }));
    return make("td", chips, { class: "word votes" });
  }

  function details(problem) {
    const trees = problem.rows.some((row) => row.tree);
    const names = ["strategy", "seed", "right", "answer", "votes", "KV", "policy tokens", "PRM tokens", "steps", "end"];
    const words = new Set(["strategy", "answer", "votes", "end", "tree"]);
    if (trees) names.push("tree");
    const head = make("tr", names.map((name) =>
      make("th", [make("button", name)], words.has(name) ? { class: "word" } : {})));
    const number = (value) => make("td", whole(value), { "data-v": value });
    const body = problem.rows.map((row) => {
      const cells = [
        make("th", data.cells[row.cell].label, { class: "word", scope: "row" }),
        number(row.seed),
        make("td", row.right ? "✓" : "✗", {
          class: row.right ? "yes-mark" : "no-mark", "data-v": +row.right, "aria-label": row.right ? "right" : "wrong",
        }),
        make("td", row.answer ?? "–", { class: "word answer", title: row.answer ?? "no answer" }),
        votes(row), number(row.kv), number(row.policy), number(row.prm), number(row.steps),
        make("td", row.end ?? "", { class: "word" }),
      ];
      if (trees) cells.push(make("td", row.tree ? [make("a", "tree", { href: row.tree })] : "", { class: "word" }));
      return make("tr", cells);
    });
    const inner = make("table", [make("thead", [head]), make("tbody", body)], { class: "sortable" });
    sortable(inner);
    return make("td", [make("p", problem.text, { class: "whole" }), inner],
      { class: "open", colspan: String(columns.length) });
  }

  function chosen() {
    const wanted = find.value.trim().toLowerCase();
    const found = data.problems.filter((p) => (kind === "all" || p.outcome === kind) && p.haystack.includes(wanted));
    if (sortBy !== null) {
      const value = columns[sortBy][1];
      found.sort((a, b) => compare(value(a), value(b), down) || a.number - b.number);
    }
    return found;
  }

  function draw() {
    const found = chosen();
    const head = make("tr", columns.map(([name, , style], at) => {
      const button = make("button", name);
      button.addEventListener("click", () => {
        down = sortBy === at ? !down : false;
        sortBy = at;
        draw();
      });
      const th = make("th", [button], style ? { class: style } : {});
      if (sortBy === at) th.setAttribute("aria-sort", down ? "descending" : "ascending");
      return th;
    }));
    const none = [make("tr", [make("td", "no such problem", { class: "word", colspan: String(columns.length) })])];
    table.replaceChildren(
      make("thead", [head]),
      make("tbody", found.length ? found.slice(0, shown).map(line) : none),
    );
    more.hidden = found.length <= shown;
    more.textContent = `Show ${Math.min(STEP, found.length - shown)} more of ${found.length - shown}`;
  }

  for (const button of document.querySelectorAll(".filter")) {
    const of = button.dataset.kind;
    const count = of === "all" ? data.problems.length : data.problems.filter((p) => p.outcome === of).length;
    button.querySelector("b").textContent = count;
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll(".filter")) other.setAttribute("aria-pressed", String(other === button));
      kind = of;
      shown = STEP;
      draw();
    });
  }
  find.addEventListener("input", () => { shown = STEP; draw(); });
  more.addEventListener("click", () => { shown += STEP; draw(); });
  addEventListener("DOMContentLoaded", draw);
})();
