// A problem goes in, and its tree grows.

(() => {
  const EVERY = 120; // milliseconds between two looks at a tree that grows
  const PATIENCE = 60; // seconds in which a connection has to come back
  let now = null; // the search that is shown
  let own = false; // whether somebody has chosen a node
  let due = 0;

  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  function trouble(text) {
    el("trouble").textContent = text;
    el("trouble").hidden = !text;
  }
  // Why a request was refused, in a line; where a key is wanted, there is a field for it.
  async function whyNot(response) {
    if (response.status !== 401) return reasonOf(response);
    el("locked").hidden = false;
    el("key").focus();
    return server.key ? "the server does not know this API key" : "the server wants an API key";
  }

  // --- what there is to choose -------------------------------------------------------------------

  async function readModels() {
    for (let wait = 500; ; wait = Math.min(5000, 2 * wait)) {
      try {
        const response = await server.ask("v1/models");
        if (response.ok) {
          const models = (await response.json()).data, chosen = el("model").value;
          el("model").replaceChildren();
          for (const model of models) {
            const option = make("option", model.id, el("model"));
            option.title = model.strategy + ", width " + model.width;
          }
          if (models.some((model) => model.id === chosen)) el("model").value = chosen;
          trouble("");
          return true;
        }
        trouble(await whyNot(response));
        return false;
      } catch {
        trouble("the server does not answer; trying again");
        await sleep(wait);
      }
    }
  }

  // --- one search --------------------------------------------------------------------------------

  function begin(search) {
    now?.gone.abort();
    clearTimeout(due);
    due = 0;
    now = { begun: Date.now(), over: false, gone: new AbortController(), ...search };
    own = false;
    clear();
    lay();
    data.problem = search.problem || "";
    chosen = 0; hovered = -1; time = 0; said = ""; matches = []; match = -1; needle = "";
    el("find").value = ""; el("matches").textContent = "";
    el("solution").hidden = el("note").hidden = el("page").hidden = true;
    el("outcome").hidden = false;
    el("steps").hidden = true;
    el("steps").tBodies[0].replaceChildren();
    el("facts").replaceChildren();
    document.body.classList.add("idle");
    el("detail").setAttribute("aria-live", "off"); // it would be read out with every step
    history.replaceState(null, "", "#" + now.id);
    trouble("");
    showRaw(); showAsked();
    run(true);
    follow(now);
  }

  function run(on) {
    document.body.classList.toggle("running", on);
    el("stop").hidden = !on;
    el("stop").disabled = false;
    showState();
  }

  async function submit() {
    const problem = el("asked").value, model = el("model").value;
    if (!problem.trim()) return;
    el("go").disabled = true;
    trouble("");
    try {
      const response = await server.ask("v1/searches", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ messages: [{ role: "user", content: problem }], ...(model && { model }) }),
      });
      if (!response.ok) {
        trouble(await whyNot(response));
        return;
      }
      const { id, model: given } = await response.json();
      past.note({ id, problem: clip(problem, 2000), model: given, end: "running" });
      past.show(open);
      begin({ id, problem, model: given });
    } catch {
      trouble("the server does not answer");
    } finally {
      el("go").disabled = false;
    }
  }

  // Reads on where it was when a connection is lost.
  async function follow(search) {
    let seen = null, lostAt = 0;
    while (!search.over && !search.gone.signal.aborted) {
      try {
        const headers = seen === null ? {} : { "Last-Event-ID": seen };
        const path = "v1/searches/" + search.id + "/tree/events";
        const response = await server.ask(path, { headers, signal: search.gone.signal });
        if (!response.ok) {
          const gone = response.status === 404;
          end(search, gone ? "" : "failed",
            gone ? "the server does not know this search any more" : await whyNot(response));
          return;
        }
        for await (const { id, event, data: piece } of eventsOf(response)) {
          if (lostAt) { lostAt = 0; trouble(""); }
          seen = id;
          take(search, event, piece);
        }
      } catch (error) {
        if (search.gone.signal.aborted) return;
      }
      if (search.over || search.gone.signal.aborted) return;
      lostAt ||= Date.now();
      if (Date.now() - lostAt > 1000 * PATIENCE) {
        end(search, "lost", "the connection to the server is lost");
        return;
      }
      trouble("the connection is lost; trying again");
      await sleep(1000);
    }
  }

  function take(search, event, piece) {
    if (search !== now) return;
    if (event === "grown") {
      grow(piece);
      due ||= setTimeout(refresh, EVERY);
    } else if (event === "answer") {
      const { solution, ets, usage, ...rest } = piece;
      grow(rest);
      own = false;
      refresh();
      quiet = false;
      chosen = winner();
      setTime(last);
      now.solution = solution;
      showSolution();
      el("note").textContent = ets.note || "";
      el("note").hidden = !ets.note;
      now.seconds = ets.seconds;
      end(search, data.end?.replaceAll("_", " ") || "over", "");
    } else if (event === "error") {
      refresh();
      const stopped = piece.error.code === "cancelled";
      end(search, stopped ? "stopped" : "failed", stopped ? "" : piece.error.message);
    }
  }

  function showSolution() {
    const box = el("solution");
    box.hidden = !now?.solution?.text;
    box.replaceChildren();
    if (!box.hidden) write(box, now.solution.text, now.solution.math);
  }

  function end(search, how, why) {
    search.over = true;
    if (search !== now) return;
    search.seconds ??= (Date.now() - search.begun) / 1000;
    search.how = how;
    run(false);
    trouble(why);
    el("detail").setAttribute("aria-live", "polite");
    el("page").hidden = !count || how === "lost";
    el("page").href = "v1/searches/" + search.id + "/tree";
    el("spoken").textContent = data.answer === null ? "The search ended: " + (how || why)
      : "The search ended, answer " + data.answer;
    if (search.problem || data.problem) {
      past.note({
        id: search.id, problem: clip(search.problem || data.problem, 2000), model: search.model,
        ...(how && { end: how }), ...(data.answer !== null && { answer: clip(data.answer, 200) }),
      });
      past.show(open);
    }
  }

  async function stop() {
    el("stop").disabled = true;
    try {
      const response = await server.ask("v1/searches/" + now.id, { method: "DELETE" });
      if (!response.ok) trouble(await whyNot(response));
    } catch {
      trouble("the server does not answer");
    }
    el("stop").disabled = false;
  }

  function open(one) {
    el("asked").value = one.problem;
    begin({ id: one.id, problem: one.problem, model: one.model });
  }

  // --- what is shown while it grows --------------------------------------------------------------

  function refresh() {
    clearTimeout(due);
    due = 0;
    if (!count) return;
    const newest = time >= last;
    document.body.classList.remove("idle");
    lay();
    legend(); showRaw(); showFacts(); showSteps(); showState();
    showAsked();
    if (fitted || newest && !own) fit();
    if (newest && !own) chosen = best();
    quiet = !own;
    setTime(newest ? last : time);
  }

  // What the field above says already need not be said twice.
  function showAsked() {
    showProblem();
    const same = el("asked").value.trim() === data.problem.trim();
    el("problem").hidden = !data.problem || same && !data.problem_math;
  }

  // Of the newest level what is worth most, of what goes on if that is decided.
  function best() {
    const level = levels[last] || [0];
    const on = level.filter((v) => !N.why[v]);
    return (on.length ? on : level).reduce((a, b) => (N.path_reward[b] > N.path_reward[a] ? b : a));
  }

  function showState() {
    if (!now) return;
    const seconds = now.seconds ?? (Date.now() - now.begun) / 1000;
    const complete = N.fate.filter((fate) => fate === "done").length;
    const width = data.settings.width;
    el("state").textContent = [
      now.over ? now.how || "not known any more" : count ? "searching" : "waits for its turn",
      (now.over || count) && now.how !== "" && seconds.toFixed(1) + " s",
      count > 1 && num(count - 1) + " steps",
      width && num(complete) + " of " + num(width) + " complete",
      now.model,
    ].filter((part) => part).join(" · ");
  }

  function showSteps() {
    const body = el("steps").tBodies[0];
    body.replaceChildren();
    el("steps").hidden = last === 0;
    levels.forEach((level, depth) => {
      if (!depth) return;
      const line = make("tr", undefined, body), kv = selectionAt.get(depth);
      const of = (fate) => num(level.filter((v) => N.fate[v] === fate).length);
      make("td", depth, line);
      make("td", Math.max(...level.map((v) => N.reward[v])).toFixed(2), line);
      for (const fate of ["kept", "pruned", "done"]) make("td", of(fate), line);
      make("td", kv ? num(kv.after) : "", line);
      make("td", kv ? num(kv.rebase) : "", line);
    });
  }

  // --- what the page listens to ------------------------------------------------------------------

  el("ask").addEventListener("submit", (e) => { e.preventDefault(); submit(); });
  el("asked").addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); submit(); }
  });
  el("asked").addEventListener("input", () => { if (now) showAsked(); });
  el("key").addEventListener("change", () => { server.unlock(el("key").value); readModels(); });
  el("stop").addEventListener("click", stop);
  el("forget").addEventListener("click", () => {
    past.forget();
    past.show(open);
    history.replaceState(null, "", location.pathname);
    el("asked").focus();
  });
  el("raw").addEventListener("click", showSolution);
  for (const kind of ["pointerdown", "keydown"]) {
    canvas.addEventListener(kind, () => { own = true; quiet = false; });
  }
  // A link has no key to show, so the page fetches what is behind it, and opens that.
  el("page").addEventListener("click", async (e) => {
    if (!server.key) return;
    e.preventDefault();
    const tab = window.open("", "_blank");
    try {
      const response = await server.ask(el("page").getAttribute("href"));
      if (!response.ok) throw new Error(await whyNot(response));
      const address = URL.createObjectURL(await response.blob());
      if (tab) tab.location = address;
      else window.location = address;
    } catch (error) {
      tab?.close();
      trouble(error instanceof TypeError ? "the server does not answer" : error.message);
    }
  });
  setInterval(() => { if (now && !now.over) showState(); }, 500);

  past.read();
  past.show(open);
  lay();
  paint();
  loop();
  readModels().then((there) => {
    const id = location.hash.slice(1);
    if (!there || !/^search-[\w-]+$/.test(id)) return;
    const known = past.all.find((one) => one.id === id);
    begin({ id, problem: known?.problem, model: known?.model });
  });
  if (!el("asked").value) el("asked").focus();
})();
