// As much of a document as the view's modules need, so that they run under node without a browser.

class Node {
  constructor(tag) {
    this.tagName = tag.toUpperCase();
    this.children = [];
    this.attributes = {};
    this.listeners = {};
    this.style = {};
    this.text = "";
    this.hidden = false;
    this.className = "";
    this.dataset = {};
    this.scrollTop = 0;
    this.clientHeight = 240;
    this.clientWidth = 800;
    this.offsetWidth = 300;
    const el = this;
    this.classList = {
      toggle(name, on) {
        const names = new Set(el.className.split(" ").filter(Boolean));
        if (on ?? !names.has(name)) names.add(name);
        else names.delete(name);
        el.className = [...names].join(" ");
      },
      contains: (name) => el.className.split(" ").includes(name),
      remove(name) {
        this.toggle(name, false);
      },
    };
  }
  append(...nodes) {
    for (const n of nodes) this.children.push(typeof n === "string" ? { text: n, tagName: "#text", get textContent() { return this.text; } } : n);
  }
  replaceChildren(...nodes) {
    this.children = [];
    this.append(...nodes);
  }
  get textContent() {
    return this.children.length ? this.children.map((c) => c.textContent).join("") : this.text;
  }
  set textContent(value) {
    this.children = [];
    this.text = String(value);
  }
  set innerHTML(_) {
    throw new Error("innerHTML is never used");
  }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
    if (name === "class") this.className = String(value);
    if (name === "hidden") this.hidden = true;
    if (name === "id") this.id = String(value);
  }
  getAttribute(name) {
    return this.attributes[name] ?? null;
  }
  removeAttribute(name) {
    delete this.attributes[name];
  }
  addEventListener(name, listener) {
    (this.listeners[name] ||= []).push(listener);
  }
  removeEventListener(name, listener) {
    this.listeners[name] = (this.listeners[name] || []).filter((l) => l !== listener);
  }
  fire(name, event = {}) {
    const full = { target: this, preventDefault() {}, stopPropagation() {}, ...event };
    for (const l of this.listeners[name] || []) l(full);
  }
  *walk() {
    yield this;
    for (const c of this.children) if (c.walk) yield* c.walk();
  }
  find(test) {
    for (const n of this.walk()) if (test(n)) return n;
    return null;
  }
  all(test) {
    return [...this.walk()].filter(test);
  }
  querySelectorAll(tag) {
    return this.all((n) => n.tagName === tag.toUpperCase());
  }
  focus() {}
  closest(tag) {
    return this.tagName === tag.toUpperCase() ? this : null;
  }
  remove() {}
}

export function install() {
  globalThis.document = {
    createElement: (tag) => new Node(tag),
    documentElement: new Node("html"),
    body: new Node("body"),
    hidden: false,
    listeners: {},
    addEventListener(name, l) {
      (this.listeners[name] ||= []).push(l);
    },
    removeEventListener(name, l) {
      this.listeners[name] = (this.listeners[name] || []).filter((x) => x !== l);
    },
    getElementById: () => null,
  };
  return { Node };
}

/** A widget model as anywidget gives it: traits, events, and what was sent. */
export class Model {
  constructor(traits = {}) {
    this.traits = traits;
    this.listeners = {};
    this.sent = [];
  }
  get(name) {
    return this.traits[name];
  }
  set(name, value) {
    this.traits[name] = value;
    this.emit(`change:${name}`);
  }
  save_changes() {}
  send(content) {
    this.sent.push(content);
  }
  on(name, l) {
    (this.listeners[name] ||= []).push(l);
  }
  off(name, l) {
    this.listeners[name] = (this.listeners[name] || []).filter((x) => x !== l);
  }
  emit(name, ...args) {
    for (const l of [...(this.listeners[name] || [])]) l(...args);
  }
}

export function columns(count, make) {
  const rows = Array.from({ length: count }, (_, i) => make(i));
  const names = [...new Set(rows.flatMap(Object.keys))];
  return Object.fromEntries(names.map((n) => [n, rows.map((r) => r[n] ?? null)]));
}
