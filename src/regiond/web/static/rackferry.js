"use strict";

// Without this file everything works; with it, the page stays as things are.

function element(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

// Put the new state of an element in its place, and leave alone what somebody is typing.
function replace(old, fresh) {
  const guarded = old.querySelector("[data-guarded][data-touched]");
  if (guarded) {
    guarded.querySelector("[data-overtaken]").hidden = false;
    return;
  }
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  for (const details of old.querySelectorAll("details[id]")) {
    const same = fresh.querySelector("#" + CSS.escape(details.id));
    if (same) same.open = details.open;
  }
  old.replaceWith(fresh);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function show(message) {
  const made = new Map();
  for (const [id, html] of Object.entries(message.set)) {
    const old = document.getElementById(id);
    const fresh = element(html);
    if (!old) made.set(id, fresh);
    else if (old.outerHTML !== fresh.outerHTML) replace(old, fresh);
  }
  for (const [id, ids] of Object.entries(message.rows)) {
    const body = document.getElementById(id);
    if (!body) continue;
    const wanted = ids.map((each) => made.get(each) ?? document.getElementById(each));
    const same = wanted.length === body.children.length
      && wanted.every((each, place) => each === body.children[place]);
    if (!same) body.replaceChildren(...wanted.filter(Boolean));
  }
}

function follow(url) {
  const offline = document.getElementById("offline");
  const source = new EventSource(url);
  source.onopen = () => { offline.hidden = true; };
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.addEventListener("ended", () => {
    source.close();
    document.getElementById("ended").hidden = false;
  });
  source.onerror = () => {
    offline.hidden = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000, url);
  };
}

document.addEventListener("input", (event) => {
  event.target.closest("form[data-guarded]")?.setAttribute("data-touched", "");
});

document.addEventListener("submit", (event) => {
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

if (document.body.dataset.live) follow(document.body.dataset.live);
