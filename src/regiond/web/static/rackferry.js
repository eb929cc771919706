"use strict";

// Without this file everything works; with it, the page stays as things are.

function element(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

// Forms in which somebody has typed, and that were not sent yet.
const touched = new WeakSet(document.querySelectorAll("[data-typed]"));

// What we were told last of each element.
const told = new Map();

// Put the new state of an element in its place, and leave alone what somebody is typing.
function replace(old, fresh, isNews) {
  for (const details of old.querySelectorAll("details[id]")) {
    const same = fresh.querySelector("#" + CSS.escape(details.id));
    if (same) same.open = details.open;
  }
  if (old.outerHTML === fresh.outerHTML) return;
  const guarded = [...old.querySelectorAll("[data-guarded]")].find((form) => touched.has(form));
  if (guarded) {
    if (isNews) guarded.querySelector("[data-overtaken]").hidden = false;
    return;
  }
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  old.replaceWith(fresh);
  if (focused) twin(focused, fresh)?.focus({ preventScroll: true });
}

// The element of a new state that stands for one of the old: by what tells it from others.
function twin(old, fresh) {
  for (const name of ["id", "href", "value"]) {
    const value = old.getAttribute(name);
    if (value) return fresh.querySelector(`[${name}="${CSS.escape(value)}"]`);
  }
  return null;
}

function show(message) {
  const made = new Map();
  for (const [id, html] of Object.entries(message.set)) {
    const old = document.getElementById(id);
    const fresh = element(html);
    if (!old) made.set(id, fresh);
    else replace(old, fresh, !message.whole || (told.has(id) && told.get(id) !== html));
    told.set(id, html);
  }
  for (const id of message.gone) document.getElementById(id)?.remove();
  for (const [id, ids] of Object.entries(message.rows)) {
    const body = document.getElementById(id);
    if (!body) continue;
    const wanted = ids.map((each) => made.get(each) ?? document.getElementById(each));
    body.replaceChildren(...wanted.filter(Boolean));
  }
}

// From the revision on that the page has: what it shows already does not come again.
function follow(url, seen) {
  const offline = document.getElementById("offline");
  const source = new EventSource(`${url}&seen=${seen}`);
  source.onopen = () => { offline.hidden = true; };
  source.onmessage = (event) => {
    const message = JSON.parse(event.data);
    show(message);
    seen = message.seen;
  };
  const end = () => {
    source.close();
    offline.hidden = true;
    document.getElementById("ended").hidden = false;
  };
  source.addEventListener("ended", end);
  source.onerror = async () => {
    source.close();
    offline.hidden = false;
    // It was cut or refused, and cannot say why.
    const answered = await fetch(url, { method: "HEAD" }).catch(() => null);
    if (answered?.status === 403) end();
    else setTimeout(follow, 2000, url, seen);
  };
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-guarded]");
  if (form) touched.add(form);
});

document.addEventListener("submit", (event) => {
  touched.delete(event.target);
  // One click is one click; the browser shows that it waits.
  setTimeout(() => { for (const each of event.target.querySelectorAll("button")) each.disabled = true; });
});

// A page that comes back from the browser's own memory is as old as that.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

const code = document.getElementById("code");
if (code && location.hash.length > 1) {
  code.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("login").focus();
}

const { live, seen } = document.body.dataset;
if (live) follow(live, seen);
