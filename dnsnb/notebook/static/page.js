// The view as a page of the server: log in by token, then the browser's own EventSource and fetch.

import { Desk } from "./desk.js";
import { h, knowSuffixes, plain, put } from "./text.js";
import { mount } from "./view.js";
import { fromColumns } from "./wire.js";

const HISTORY = 5000;

/** Ask the server; an error carries the API's own words. */
async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(path, { method, credentials: "same-origin", headers: method === "GET" ? {} : { "Content-Type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("The server can't be reached.");
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw Object.assign(new Error(answer?.error?.message || `The server answered ${response.status}.`), { status: response.status, ...answer?.error });
  return answer;
}

/** Follow the event stream into a desk; `onDenied` when the login has ended. Returns what ends it. */
export function follow(desk, onDenied, Stream = EventSource) {
  let stream = null;
  let epoch = "";
  let last = 0;
  let waiting = null; // batches that arrive while the history is fetched
  let timer = 0;
  let delay = 500;
  let closed = false;

  const take = (lists, fresh) => {
    const ids = lists.id || [];
    const known = ids.findIndex((id) => id > last);
    if (ids.length && known < 0) return;
    const news = ids.length && known > 0 ? Object.fromEntries(Object.entries(lists).map(([k, v]) => [k, v.slice(known)])) : lists;
    if (ids.length) last = ids[ids.length - 1];
    const batch = fromColumns(news, true);
    desk.rows(batch);
    if (!fresh) desk.tell("selection");
  };

  const history = async () => {
    waiting = [];
    try {
      const answer = await ask("GET", `/api/dns/log?limit=${HISTORY}${last ? `&after=${last}` : ""}`);
      if (answer?.columns) take(oldestFirst(answer.columns), false);
    } catch (error) {
      if (error.status === 401) return onDenied();
    }
    const queue = waiting || [];
    waiting = null;
    for (const lists of queue) take(lists, true);
  };

  const onMessage = (event) => {
    let message;
    try {
      message = JSON.parse(event.data);
    } catch {
      return;
    }
    const { type, data } = message;
    if (!data || message.test) return;
    const now = (event.lastEventId || "").split("-")[0];
    if (now && now !== epoch) {
      if (epoch) {
        desk.reset();
        last = 0;
        history();
      }
      epoch = now;
    }
    if (type === "dns/log/event") {
      const lists = data.columns ? whole(data) : Object.fromEntries(Object.entries(data).map(([k, v]) => [k, [v]]));
      if (data.dropped) desk.lost += data.dropped;
      if (waiting) waiting.push(lists);
      else take(lists, true);
    } else if (type === "system/gap") desk.lost += data.count || data.missed || 0;
    else desk.channel(type, data);
  };

  const open = () => {
    stream = new Stream("/api/sse/stream?batch=1");
    stream.onopen = () => {
      delay = 500;
      desk.setConnection("open");
      history();
    };
    stream.onmessage = onMessage;
    stream.onerror = async () => {
      if (closed) return;
      desk.setConnection("waiting");
      if (stream.readyState !== 2) return; // the browser tries again by itself
      stream.close();
      try {
        await ask("GET", "/api/dns/status");
      } catch (error) {
        if (error.status === 401 || error.status === 403) return onDenied();
      }
      timer = setTimeout(open, delay);
      delay = Math.min(10000, delay * 2);
    };
  };
  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    stream?.close();
  };
}

/** Fetch the public suffix list once the page stands, and group the names by it. */
async function learnSuffixes(desk) {
  const response = await fetch("/assets/suffixes.txt");
  if (!response.ok) return; // the last two labels serve meanwhile
  knowSuffixes((await response.text()).split("\n"));
  desk.store.regroup();
  desk.tell("selection");
}

/** A batch's columns, with the values that all its rows share written out for each. */
function whole({ columns, constants }) {
  const rows = (Object.values(columns)[0] || []).length;
  const shared = Object.entries(constants || {}).map(([k, v]) => [k, new Array(rows).fill(v)]);
  return { ...columns, ...Object.fromEntries(shared) };
}

/** The log route may give the newest first: the store wants the order of arrival. */
function oldestFirst(columns) {
  const ids = columns.id || columns.time || [];
  if (ids.length < 2 || ids[0] <= ids[ids.length - 1]) return columns;
  return Object.fromEntries(Object.entries(columns).map(([k, v]) => [k, [...v].reverse()]));
}

function loginForm(main, onIn, why = "") {
  const token = h("input", { type: "password", id: "token", name: "token", autocomplete: "current-password", required: true });
  const said = h("p", { class: "page-said", role: "alert" }, why);
  const form = h("form", { class: "page-login" }, h("label", { for: "token" }, "Token"), token, h("button", { type: "submit" }, "Open the dashboard"), said, h("p", {}, "The server prints its token when it starts; in a notebook it is ", h("code", {}, "session.token"), "."));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await ask("POST", "/api/auth/login", { token: token.value.trim() });
      onIn();
    } catch (error) {
      put(said, plain(error.status === 401 || error.status === 403 ? "That is not this server's token." : error.message));
      token.select();
    }
  });
  main.replaceChildren(form);
  token.focus();
}

function dashboard(main, leave) {
  const desk = new Desk({ request: ask });
  main.replaceChildren();
  const view = mount(main, desk);
  learnSuffixes(desk).catch(() => null);
  const stop = follow(desk, () => {
    end();
    loginForm(main, () => dashboard(main, leave), "The login has ended. Enter the token again.");
  });
  const end = () => {
    stop();
    view.close();
    leave.hidden = true;
  };
  leave.hidden = false;
  leave.onclick = async () => {
    end();
    await ask("POST", "/api/auth/logout", {}).catch(() => null);
    loginForm(main, () => dashboard(main, leave));
  };
}

async function begin() {
  const main = document.getElementById("main");
  const leave = document.getElementById("leave");
  try {
    await ask("GET", "/api/dns/status");
    dashboard(main, leave);
  } catch (error) {
    loginForm(main, () => dashboard(main, leave), error.status === 401 ? "" : plain(error.message));
  }
}

if (globalThis.document?.getElementById("main")) begin();
