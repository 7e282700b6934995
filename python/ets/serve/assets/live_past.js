// The last searches of this browser.

const past = {
  most: 12,
  all: [],

  read() {
    try {
      const found = JSON.parse(kept("localStorage", "ets.past") || "[]");
      this.all = found.filter((one) => typeof one?.id === "string" && typeof one.problem === "string");
    } catch { this.all = []; }
  },

  // Puts one first, or takes what is new of it.
  note(one) {
    const known = this.all.find((other) => other.id === one.id);
    if (known) Object.assign(known, one);
    else this.all.unshift(one);
    this.all.length = Math.min(this.all.length, this.most);
    keep("localStorage", "ets.past", JSON.stringify(this.all));
  },

  forget() {
    this.all = [];
    keep("localStorage", "ets.past", "");
  },

  show(open) {
    const list = el("past").querySelector("ol");
    el("past").hidden = !this.all.length;
    list.replaceChildren();
    for (const one of this.all) {
      const button = make("button", undefined, make("li", undefined, list));
      button.type = "button";
      make("span", clip(one.problem, 200), button);
      const answer = one.answer ? " · " + clip(short(String(one.answer)), 40) : "";
      make("small", [one.model, one.end].filter((word) => word).join(" · ") + answer, button);
      button.addEventListener("click", () => open(one));
    }
  },
};
