// What every view of one source shares: rows, rates, the newest state of each channel, the selection, a pause.

import { Rates } from "./rates.js";
import { Selection, expression } from "./selection.js";
import { Store } from "./store.js";
import { nameOf } from "./text.js";
import { decodeFrame, fromColumns } from "./wire.js";

export class Desk {
  /** `source` has request(method, path, body) -> Promise, and selected(data) which tells Python; both may reject or ignore. */
  constructor(source, capacity) {
    this.source = source;
    this.store = new Store(capacity);
    this.rates = new Rates();
    this.channels = {};
    this.connection = { state: "connecting", reason: "" };
    this.listeners = new Set();
    this.paused = false;
    this.held = [];
    this.heldRows = 0;
    this.waiting = 0; // commands that a busy kernel has not answered yet
    this.lost = 0; // rows that never reached this browser
    this.version = 0; // grows with every change to the rows shown
  }

  on(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell(part) {
    for (const listener of this.listeners) listener(part);
  }

  frame(head, buffers) {
    this.rows(decodeFrame(head, buffers));
    for (const pack of head.rates || []) this.rates.load(pack);
    if (head.lost) this.lost += head.lost;
  }

  rows(batch) {
    if (!batch.count) return this.tell("rows");
    if (batch.fresh) this.rates.addBatch(batch);
    if (this.paused) this.hold(batch);
    else this.store.add(batch);
    this.version++;
    this.tell("rows");
  }

  hold(batch) {
    this.held.push(batch);
    this.heldRows += batch.count;
    while (this.held.length > 1 && this.heldRows - this.held[0].count > this.store.capacity) this.heldRows -= this.held.shift().count;
  }

  pause(on) {
    this.paused = on;
    if (!on) {
      for (const batch of this.held) this.store.add(batch);
      this.held = [];
      this.heldRows = 0;
      this.version++;
    }
    this.tell("rows");
  }

  channel(name, data) {
    const before = this.channels[name];
    if ((name === "dns/blacklist/" || name === "dns/whitelist/") && before && !data.entries) this.channels[name] = editList(before, data);
    else if (name === "dns/log/" || name === "dns/cache/") this.channels[name] = { ...before, ...data };
    else this.channels[name] = data;
    this.tell(name);
  }

  setConnection(state, reason = "") {
    if (state === this.connection.state && reason === this.connection.reason) return;
    this.connection = { state, reason, since: Date.now() };
    this.tell("connection");
  }

  /** Everything anew: another server stands behind the same view. */
  reset() {
    this.store.clear();
    this.rates.clear();
    this.held = [];
    this.heldRows = 0;
    this.version++;
    this.tell("rows");
  }

  select(change) {
    const next = Selection.from(this.store.selection.toJSON());
    change(next);
    this.store.select(next);
    this.version++;
    this.source.selected?.(next.empty ? null : next.toJSON());
    this.tell("selection");
  }

  /** The selection was set from Python. */
  selectionFrom(data) {
    const next = Selection.from(data);
    if (expression(next) === expression(this.store.selection)) return;
    this.store.select(next);
    this.version++;
    this.tell("selection");
  }

  /** Paint from the small snapshot that outlives a reload, unless something newer is already here. */
  snapshot(data) {
    if (!data || !data.epoch || (!this.fromSnapshot && this.store.next + this.rates.last > 0)) return;
    this.store.clear();
    this.rates.clear();
    for (const [name, value] of Object.entries(data.channels || {})) this.channel(name, value);
    if (data.rates) for (const pack of data.rates) this.rates.load(pack);
    if (data.rows) this.rows(fromColumns(data.rows, false));
    if (data.connection) this.setConnection(data.connection.state, data.connection.reason);
    this.fromSnapshot = true;
  }

  request(method, path, body) {
    return this.source.request(method, path, body);
  }
}

function editList(before, delta) {
  const removed = new Set((delta.removed || []).map(nameOf));
  const added = (delta.added || []).map((e) => (typeof e === "string" ? { name: e } : e));
  const fresh = new Set(added.map(nameOf));
  const rest = (before.entries || []).filter((e) => !removed.has(e.name) && !fresh.has(e.name));
  return { ...before, ...delta, entries: [...added.reverse(), ...rest].slice(0, 500), added: undefined, removed: undefined };
}
