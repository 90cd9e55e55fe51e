// The filter builder: rows of attribute, operator and value, written in the text
// form of the filter language.

import { $, h } from "./dom.js";

const operators = { "=": "is", "!=": "is not", "<": "<", "<=": "≤", ">": ">", ">=": "≥", in: "is one of", prefix: "begins with", exists: "is there" };
const words = /^(and|or|not|in|exists|prefix|true|false|null)$/i;

/** The filter that is to be sent, "" without one. */
export const conditions = () => $("filter").value.trim();

export function addConditions() {
  $("filter-add").addEventListener("click", () => addRow().querySelector("input").focus());
  $("filter-join").addEventListener("change", write);
  $("filter").addEventListener("input", show);
}

function addRow() {
  const row = h("div", { class: "condition" },
    h("input", { "aria-label": "Attribute", list: "attributes", placeholder: "attribute", class: "mono", oninput: write }),
    h("select", { "aria-label": "Operator", onchange: write }, Object.entries(operators).map(([op, label]) => h("option", { value: op }, label))),
    h("input", { "aria-label": "Value", placeholder: "value", class: "mono", oninput: write }),
    h("button", { type: "button", "aria-label": "Remove the condition", onclick: () => { row.remove(); write(); } }, "×"));
  $("filter-rows").append(row);
  return row;
}

function write() {
  const parts = [...$("filter-rows").children].map((row) => {
    const [name, op, value] = row.querySelectorAll("input, select");
    value.hidden = op.value === "exists";
    return condition(name.value, op.value, value.value);
  }).filter(Boolean);
  $("filter").value = parts.join(` ${$("filter-join").value} `);
  show();
}

const show = () => { $("filter-summary").textContent = conditions(); };

/** One condition as text, "" while its name is missing. */
export function condition(name, op, value) {
  if (!name.trim()) return "";
  const n = /^[A-Za-z_][\w.-]*$/.test(name) && !words.test(name) ? name : JSON.stringify(name);
  if (op === "exists") return `exists(${n})`;
  if (op === "in") return `${n} in (${value.split(",").map((v) => literal(v)).join(", ")})`;
  return `${n} ${op} ${op === "prefix" ? JSON.stringify(value) : literal(value)}`;
}

// Numbers, true, false, null and what has quotes are taken as they are; all else is a string.
function literal(text) {
  text = text.trim();
  try {
    if (!/^[[{]/.test(text)) return JSON.stringify(JSON.parse(text));
  } catch { /* a string without quotes */ }
  return JSON.stringify(text);
}

const seen = new Set();

/** Offers the names of attributes that were seen. */
export function noteAttributes(list) {
  for (const a of list) for (const name of Object.keys(a ?? {})) seen.add(name);
  $("attributes").replaceChildren(...[...seen].sort().slice(0, 200).map((value) => h("option", { value })));
}
