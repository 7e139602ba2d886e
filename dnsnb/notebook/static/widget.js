// The view inside a notebook: rows come by custom messages and are acknowledged once drawn; commands go through the kernel.

import { Desk } from "./desk.js";
import { mount } from "./view.js";

/** One desk per widget model, shared by all its views. */
export function openDesk(model) {
  const waiting = new Map();
  const me = Math.random().toString(36).slice(2);
  let number = 0;
  const source = {
    request: (method, path, body) =>
      new Promise((resolve, reject) => {
        if (desk.connection.state === "closed") throw new Error("The session is closed.");
        const id = ++number;
        const asked = { resolve, reject, slow: false };
        asked.timer = setTimeout(() => {
          asked.slow = true;
          desk.waiting++;
          desk.tell("busy");
        }, 1500);
        waiting.set(id, asked);
        model.send({ t: "request", id, method, path, body });
      }),
    selected: (data) => model.send({ t: "selected", data: { ...data, by: me, empty: data === null } }),
  };
  const desk = new Desk(source, model.get("capacity") || undefined);
  desk.visible = 0;
  let epoch = null;
  let last = 0;

  const shown = () => desk.visible > 0 && !document.hidden;
  const acknowledge = (seq) => requestAnimationFrame(() => model.send({ t: "ack", seq, visible: shown() }));
  const giveUp = () => {
    if (desk.connection.state !== "closed" || !waiting.size) return;
    for (const asked of waiting.values()) {
      clearTimeout(asked.timer);
      asked.reject(new Error("The session is closed."));
    }
    waiting.clear();
    desk.waiting = 0;
    desk.tell("busy");
  };
  const onMessage = (message, buffers) => {
    if (message.t === "reply") {
      const asked = waiting.get(message.id);
      if (!asked) return;
      waiting.delete(message.id);
      clearTimeout(asked.timer);
      if (asked.slow) desk.waiting--;
      if (asked.slow) desk.tell("busy");
      if (message.error) asked.reject(Object.assign(new Error(message.error.message), message.error));
      else asked.resolve(message.value);
    } else if (message.t === "frame") {
      if (message.epoch === epoch && message.seq <= last) return; // a replay from the server's offline buffer
      if (message.whole) {
        desk.reset();
        desk.lost = 0;
      }
      if (desk.fromSnapshot && !message.whole) desk.store.clear();
      desk.fromSnapshot = false;
      epoch = message.epoch;
      last = message.seq;
      for (const [name, data] of Object.entries(message.channels || {})) desk.channel(name, data);
      if (message.connection) desk.setConnection(message.connection.state, message.connection.reason);
      giveUp();
      desk.frame(message, buffers);
      acknowledge(message.seq);
    }
  };
  const onSnapshot = () => (desk.snapshot(model.get("snapshot")), giveUp());
  const onSelection = () => {
    const data = model.get("selection");
    if (!data || data.by !== me) desk.selectionFrom(data); // not the echo of our own
  };
  const hello = () => model.send({ t: "hello", epoch, last, visible: shown() });
  const onVisible = () => hello();
  model.on("msg:custom", onMessage);
  model.on("change:snapshot", onSnapshot);
  model.on("change:selection", onSelection);
  document.addEventListener("visibilitychange", onVisible);
  desk.selectionFrom(model.get("selection"));
  onSnapshot();
  hello();
  desk.close = () => {
    model.off("msg:custom", onMessage);
    model.off("change:snapshot", onSnapshot);
    model.off("change:selection", onSelection);
    document.removeEventListener("visibilitychange", onVisible);
    for (const { timer } of waiting.values()) clearTimeout(timer);
  };
  desk.seen = (change) => {
    const before = desk.visible > 0;
    desk.visible += change;
    if (before !== desk.visible > 0) hello();
  };
  return desk;
}

export default () => {
  let desk = null;
  return {
    initialize({ model }) {
      desk = openDesk(model);
      return () => desk.close();
    },
    render({ model, el }) {
      const view = mount(el, desk, model.get("options") || {});
      let seen = false;
      const eye = new IntersectionObserver(([entry]) => {
        if (entry.isIntersecting !== seen) desk.seen((seen = entry.isIntersecting) ? 1 : -1);
      });
      eye.observe(view.root);
      return () => {
        eye.disconnect();
        if (seen) desk.seen(-1);
        view.close();
      };
    },
  };
};
