// The console: what all views share, and which of them is shown.

import * as api from "./api.js";
import { $, counted, h } from "./dom.js";
import * as documents from "./documents.js";
import * as search from "./search.js";
import * as store from "./store.js";

const views = ["search", "documents", "store"];

let working = 0;
function busy(more) {
  working += more;
  $("main").setAttribute("aria-busy", String(working > 0));
}

const state = {
  collections: [],
  collection: "",

  /** Does work and shows what went wrong. */
  async try(work) {
    $("message").hidden = true;
    busy(1);
    try {
      await work();
    } catch (err) {
      $("message").textContent = err.message;
      $("message").hidden = false;
    } finally {
      busy(-1);
    }
  },

  /** Goes to a view, which is visible when this returns. */
  go(view) {
    location.hash = view;
    reveal();
  },

  /** Reads the collections again, and goes to one where it is named. */
  async refresh(name = state.collection) {
    const got = await api.collections();
    state.collections = got.collections;
    const names = got.collections.map((c) => c.name);
    state.collection = names.includes(name) ? name : names[0] ?? "";
    $("collection").replaceChildren(...names.map((n) => h("option", { value: n, selected: n === state.collection }, n)));
    $("collection").disabled = !names.length;
    await checkHealth();
  },
};

// Makes the view of the address visible and returns its name.
function reveal() {
  const view = views.find((v) => location.hash === `#${v}`) ?? "search";
  for (const v of views) $(`view-${v}`).hidden = v !== view;
  for (const a of document.querySelectorAll("nav a")) {
    if (a.dataset.view === view) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.title = `colbertdb: ${view}`;
  return view;
}

async function showView() {
  const view = reveal();
  if (view === "documents") await documents.show(state);
  if (view === "store") await store.show(state);
}

async function checkHealth() {
  const e = $("health");
  try {
    await api.ready();
    e.className = "health good";
    e.textContent = counted(state.collections.reduce((n, c) => n + c.documents, 0), "document");
  } catch (err) {
    e.className = "health bad";
    e.textContent = err instanceof api.Failure ? err.message : "the server does not answer";
  }
}

api.onKeyNeeded(() => new Promise((resolve) => {
  const dialog = $("key-dialog");
  dialog.addEventListener("close", () => {
    resolve($("key").value.trim());
    $("key").value = "";
  }, { once: true });
  if (!dialog.open) dialog.showModal();
}));

search.setUp(state);
documents.setUp(state);
store.setUp(state);
$("collection").addEventListener("change", () => {
  state.collection = $("collection").value;
  search.clear();
  state.try(showView);
});
addEventListener("hashchange", () => state.try(showView));
setInterval(checkHealth, 10_000);

await state.try(async () => {
  await state.refresh();
  await showView();
});
document.documentElement.dataset.ready = "true";
