// answer: one answer: its text, what can be done with it, and where it comes from.
import { copyButton, h } from "./dom.js";
import { parse, render } from "./markdown.js";
import { tracePanel } from "./trace.js";

const ENDS = { length: "stopped at the limit of tokens", stopped: "stopped by you" };

function facts(v) {
  const parts = [];
  if (v.tokens) parts.push(`${v.tokens} token${v.tokens === 1 ? "" : "s"}`);
  if (v.tokens && v.seconds > 0) parts.push(`${Math.round(v.tokens / v.seconds)} tokens/s`);
  parts.push(`seed ${v.seed}`);
  if (ENDS[v.end]) parts.push(ENDS[v.end]);
  return parts.join(" · ");
}

/** The answer's own words, or for a model that continues texts the whole text with its part set off. */
function words(v, mode) {
  if (mode === "chat") return h("div", { className: "text" }, render(parse(v.text)));
  return h("div", { className: "text flow" }, mode === "text" ? h("span", { className: "given" }, v.prompt) : null,
    h("span", { className: "made" }, mode === "question" ? v.text.trim() : v.text));
}

const unfolded = new WeakSet();

/** What the model thought before it answered: folded, until the reader unfolds it. */
function thought(v, running) {
  const thinks = running && !v.text;
  return h("details", { className: "thought", open: unfolded.has(v), ontoggle: (e) => (e.target.open ? unfolded.add(v) : unfolded.delete(v)) },
    h("summary", null, thinks ? "Thinking…" : "Thought before the answer"), h("div", { className: "text", tabIndex: 0, role: "group", ariaLabel: "Thought" }, v.thought));
}

/** m: the message; how: {mode, model, running, turn, again, more}. */
export function answerBody(m, how) {
  const v = m.variants[m.at];
  if (!v) return h("article", { className: "said model", ariaLabel: "Answer" });
  const body = h("div", { className: "body" }, words(v, how.mode));
  const article = h("article", { className: "said model" + (how.running ? " running" : ""), ariaLabel: `Answer by ${v.model}` }, body);
  if (v.thought) article.prepend(thought(v, how.running));
  if (how.running) {
    if (!v.text) body.replaceChildren(h("span", { className: "waiting", ariaLabel: "Answering" }, h("i"), h("i"), h("i")));
    return article;
  }
  const act = (label, work, more) => h("button", { type: "button", className: "quiet small", onclick: work, ...more }, label);
  article.append(h("div", { className: "acts" },
    h("span", { className: "facts" }, facts(v)),
    m.variants.length > 1 && h("span", { className: "turn" },
      act("‹", () => how.turn(-1), { ariaLabel: "Earlier answer", disabled: m.at === 0 }), `${m.at + 1} of ${m.variants.length}`,
      act("›", () => how.turn(1), { ariaLabel: "Later answer", disabled: m.at === m.variants.length - 1 })),
    copyButton(() => v.text), how.again && act("Regenerate", how.again), how.more && act("Continue", how.more)));
  if (v.text.trim()) article.append(tracePanel(v, how.mode, body, () => words(v, how.mode)));
  return article;
}
