// The two lists: newest names first, search, add and remove. An error stands under the field that caused it.

import { clock, count, day, h, nameOf, plain, put } from "./text.js";

export function listPane(desk, list, title) {
  const path = `/api/dns/${list}`;
  const channel = `dns/${list}/`;
  const field = h("input", { type: "text", class: "dnsnb-input", "aria-label": `Add a name to the ${list}`, placeholder: "add a name: ads.example.com", autocomplete: "off", spellcheck: "false" });
  const add = h("button", { type: "submit", class: "dnsnb-button" }, "Add");
  const said = h("p", { class: "dnsnb-said", role: "status" });
  const number = h("span", { class: "dnsnb-muted" });
  const search = h("input", { type: "search", class: "dnsnb-input", "aria-label": `Search the ${list}`, placeholder: "search", oninput: () => look() });
  const hitsButton = h("button", { type: "button", class: "dnsnb-x", title: "How often each rule has decided", onclick: () => countHits() }, "hits");
  const entries = h("ul", { class: "dnsnb-entries", "aria-label": title });
  const form = h("form", { class: "dnsnb-row" }, field, add);
  const el = h("section", { class: "dnsnb-list", "aria-label": title }, h("header", { class: "dnsnb-row" }, h("h3", {}, title), number, hitsButton, search), form, said, entries);
  let hits = null; // rule -> how often it decided, when asked for
  let found = null; // the server's answer to a search, or null when the channel's newest are shown

  const say = (text, bad = false) => {
    put(said, text);
    said.classList.toggle("dnsnb-bad", bad);
  };

  const edit = async (method, names) => {
    try {
      const answer = await desk.request(method, path, { names });
      const done = answer.added || answer.removed || [];
      const idle = answer.already || answer.absent || [];
      say([done.length && `${method === "POST" ? "Added" : "Removed"} ${done.map(nameOf).map(plain).join(", ")}.`, idle.length && `${idle.map(nameOf).map(plain).join(", ")}: ${method === "POST" ? "already there" : "was not there"}.`].filter(Boolean).join(" "));
      if (search.value) look();
      return true;
    } catch (error) {
      say(plain(error.message), true);
      return false;
    }
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const names = field.value.split(/[\s,]+/).filter(Boolean);
    if (!names.length) return say("Type a name first, such as ads.example.com.", true);
    add.disabled = true;
    if (await edit("POST", names)) field.value = "";
    add.disabled = false;
    field.focus();
  });

  const countHits = async () => {
    try {
      const answer = await desk.request("GET", `/api/dns/lists/hits?name=${list}&limit=1000`);
      hits = new Map(answer.rules.filter((r) => r.list === list).map((r) => [r.rule, r.hits]));
      const idle = answer.never?.never_hit;
      say(`${count([...hits.values()].reduce((a, b) => a + b, 0))} hits${idle ? `; ${count(idle)} of ${count(answer.never.rules)} rules never hit` : ""}.`);
      draw();
    } catch (error) {
      say(plain(error.message), true);
    }
  };

  let timer = 0;
  const look = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const wanted = search.value.trim();
      if (!wanted) {
        found = null;
        return draw();
      }
      try {
        found = await desk.request("GET", `${path}?limit=200&search=${encodeURIComponent(wanted)}`);
        draw();
      } catch (error) {
        say(plain(error.message), true);
      }
    }, 150);
  };

  const draw = () => {
    const state = desk.channels[channel];
    put(number, state ? `${count(state.count)} ${state.count === 1 ? "name" : "names"} · ${plain(state.driver || "")}` : "");
    const shown = (found || state)?.entries || [];
    entries.replaceChildren(
      ...shown.slice(0, 200).map((entry) => {
        const name = nameOf(entry);
        const when = entry.added ? `added ${day(entry.added * 1000)} ${clock(entry.added * 1000, false)}` : "";
        return h(
          "li",
          {},
          h("span", { class: "dnsnb-code", title: [plain(name), when].filter(Boolean).join(" · ") }, plain(name)),
          hits ? h("span", { class: "dnsnb-muted" }, `${count(hits.get(name) || 0)} hits`) : null,
          h("button", { type: "button", class: "dnsnb-x", "aria-label": `Remove ${plain(name)} from the ${list}`, onclick: () => edit("DELETE", [name]) }, "✕"),
        );
      }),
    );
    if (!shown.length) entries.append(h("li", { class: "dnsnb-muted" }, found ? "No name contains that." : list === "blacklist" ? "Nothing is blocked yet. Add a name, or press Block on a row above." : "No exceptions. A name here is answered even if the blacklist has it."));
  };
  draw();
  return { el, update: (part) => part === channel && draw() };
}
