// What the page says to its server.

const server = {
  key: kept("sessionStorage", "ets.key") || "",

  ask(path, options = {}) {
    const headers = { ...options.headers };
    if (this.key) headers.Authorization = "Bearer " + this.key;
    return fetch(path, { ...options, headers, cache: "no-store" });
  },

  unlock(key) {
    this.key = key.trim();
    keep("sessionStorage", "ets.key", this.key);
  },
};

// A browser may have no storage for the page, or be set to allow none.
function kept(store, name) {
  try { return window[store].getItem(name); } catch { return null; }
}
function keep(store, name, value) {
  try {
    if (value) window[store].setItem(name, value);
    else window[store].removeItem(name);
  } catch { /* then it is forgotten with the page */ }
}

// Why an answer is none, in a line.
async function reasonOf(response) {
  const after = response.headers.get("Retry-After");
  const again = after ? "; try again in " + after + " s" : "";
  try {
    return (await response.json()).error.message + again;
  } catch {
    return "the server answered with status " + response.status + again;
  }
}

// The server-sent events of an answer: their number, name and data.
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    while (true) {
      const { value, done: over } = await reader.read();
      if (over) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const fields = {};
        for (const line of block.split("\n")) {
          const at = line.indexOf(": ");
          if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
        }
        if (fields.data) yield { ...fields, data: JSON.parse(fields.data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
