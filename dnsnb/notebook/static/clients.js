// Who asks: names for addresses, and groups of clients with lists and upstreams of their own.

import { button, folded, input, rowsTable, speaker } from "./forms.js";
import { h, plain } from "./text.js";

// between commas where there is one, as names may have spaces, else between spaces
const words = (field) => field.value.split(field.value.includes(",") ? "," : /\s/).map((word) => word.trim()).filter(Boolean);
const asTyped = (items) => items.join(", ") + (items.some((item) => item.includes(" ")) ? "," : "");
const code = (items) => h("span", { class: "dnsnb-code" }, plain(items.join(", ")));

export function clientsSection(desk) {
  const told = speaker();
  const path = "/api/dns/clients";
  const people = rowsTable("Clients", ["client", "addresses", "groups", ""]);
  const groups = rowsTable("Groups", ["group", "members", "lists", "upstreams", "hours", ""]);
  const seen = h("datalist", { id: `dnsnb-${Math.random().toString(36).slice(2)}` });
  const name = input("client: living-room-tv", { size: 20 });
  const addresses = input("addresses: 192.168.1.20", { size: 28, list: seen.id });
  const group = input("group: children", { size: 20 });
  const members = input("members: tablet 192.168.2.0/24", { size: 28 });
  const lists = input("lists of its own", { size: 16 });
  const upstreams = input("upstreams of its own", { size: 18 });

  const show = (held) => {
    const named = new Set(held.clients.flatMap((c) => c.addresses));
    seen.replaceChildren(...desk.store.top("client", 20).filter(([address]) => address && !named.has(address)).map(([address]) => h("option", { value: plain(address) })));
    people.fill(held.clients.map((c) => [plain(c.name), code(c.addresses), code(held.groups.filter((g) => [c.name, ...c.addresses].some((m) => g.members.includes(m))).map((g) => g.name)), remove(c.name)]), "No client has a name yet. Give an address one, and it is shown by it everywhere.");
    groups.fill(held.groups.map((g) => [plain(g.name), code(g.members), h("span", {}, code(g.lists), g.allow_only ? " only what is allowed" : g.inherit ? "" : " in place of everybody's"), code(g.upstreams), code(Object.entries(g.schedules).map(([list, hours]) => `${list}: ${hours}`)), h("span", { class: "dnsnb-row" }, button("Change", () => edit(g)), remove(g.name))]), "No groups yet. A group's members can have lists and upstreams of their own.");
  };
  const load = async () => {
    try {
      show(await desk.request("GET", path));
    } catch (error) {
      told.say(error.message, true);
    }
  };
  const remove = (wanted) => button("Remove", (e) => told.attempt(e.target, async () => (show(await desk.request("DELETE", `${path}?name=${encodeURIComponent(wanted)}`)), `${wanted} is gone.`)));
  const edit = (g) => {
    for (const [field, value] of [[group, g.name], [members, asTyped(g.members)], [lists, asTyped(g.lists)], [upstreams, asTyped(g.upstreams)]]) field.value = value;
    members.focus();
  };
  /** A form that puts one item, changed or new, among those of its kind (`key`) that the server has now. */
  const adder = (key, fields, item, said) => {
    const add = h("button", { type: "submit", class: "dnsnb-button" }, "Set");
    const form = h("form", { class: "dnsnb-row" }, ...fields, add);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const wanted = fields[0].value.trim();
      const done = await told.attempt(add, async () => {
        const held = (await desk.request("GET", path))[key];
        const old = held.find((one) => one.name === wanted);
        show(await desk.request("POST", path, { [key]: [...held.filter((one) => one !== old), { ...old, name: wanted, ...item(old) }] }));
        return `${wanted}: ${said}`;
      });
      if (done) for (const field of fields) field.value = "";
    });
    return form;
  };
  const one = adder("clients", [name, addresses], (old) => ({ addresses: [...new Set([...(old?.addresses || []), ...words(addresses)])] }), "named from the next query on.");
  const many = adder("groups", [group, members, lists, upstreams], () => ({ members: words(members), lists: words(lists), upstreams: words(upstreams) }), "holds from the next query on.");
  return { ...folded("Clients", h("div", {}, one, seen, people.el, many, groups.el, told.el), load), update() {} };
}
