// settings: the system prompt and how answers are drawn, kept in this browser.
import { field, h } from "./dom.js";
import { keep, setting } from "./store.js";

const DEFAULTS = { system: "", temperature: 0.7, top_p: 0.95, top_k: 40, min_p: 0.05, repetition_penalty: 1, max_tokens: 512, seed: 0 };

const NUMBERS = [
  ["temperature", "Temperature", 0, 5, 0.05, "0 always takes the likeliest word; higher is more varied"],
  ["top_p", "Top-p", 0.01, 1, 0.01, "only the likeliest words that together have this share; 1: all"],
  ["top_k", "Top-k", 0, 1000, 1, "only so many of the likeliest words; 0: all"],
  ["min_p", "Min-p", 0, 1, 0.01, "only words at least this share as likely as the likeliest"],
  ["repetition_penalty", "Repetition penalty", 0.5, 2, 0.01, "above 1: words that were said become less likely"],
  ["max_tokens", "Longest answer, tokens", 1, 100000, 1, "the answer is cut there"],
  ["seed", "Seed", 0, 1000000, 1, "the same question with the same seed gets the same answer; Regenerate counts up from it"],
];

export const settings = () => ({ ...DEFAULTS, ...setting("settings", {}) });

/** The fields of a request. Questions are answered by the likeliest words unless somebody wants it otherwise. */
export function sampling(mode, seed) {
  const { system, seed: _, ...s } = settings();
  if (mode === "question" && setting("settings", {}).temperature === undefined) s.temperature = seed ? s.temperature : 0;
  return { ...s, seed };
}

const number = ([name, label, min, max, step, help], value) =>
  field(label, h("input", { type: "number", name, min, max, step: step === 1 ? 1 : "any", value, required: true }), help);

function openDialog(mode, back) {
  const now = settings();
  const system = h("textarea", { name: "system", rows: 4, value: now.system });
  const form = h("form", { method: "dialog", onsubmit: () => {
    const next = { system: system.value };
    for (const [name] of NUMBERS) next[name] = Number(form.elements[name].value);
    keep("settings", next);
  } },
    h("h2", { id: "settings-title" }, "Settings"),
    mode === "chat" && field("System prompt", system, "said to the model before every conversation"),
    h("div", { className: "grid" }, NUMBERS.map((n) => number(n, now[n[0]]))),
    h("div", { className: "row end" },
      h("button", { type: "button", className: "quiet", onclick: () => { keep("settings", {}); dialog.close(); } }, "As at first"),
      h("button", { type: "button", className: "quiet", onclick: () => dialog.close() }, "Cancel"),
      h("button", { className: "main" }, "Keep")));
  const dialog = h("dialog", { "aria-labelledby": "settings-title", onclose: () => { dialog.remove(); back.focus(); } }, form);
  document.body.append(dialog);
  dialog.showModal();
}

export const settingsButton = (mode) =>
  h("button", { type: "button", className: "quiet", onclick: (event) => openDialog(mode(), event.currentTarget) }, "Settings");
