// text: pure functions over texts and numbers; test/unit/page.mjs tests them without a browser.

/** For each UTF-8 byte offset of `text` (0 to its length) the offset in UTF-16 units, as JavaScript counts. */
export function byteOffsets(text) {
  const offsets = [];
  let at = 0;
  for (const ch of text) {
    const bytes = new TextEncoder().encode(ch).length;
    for (let i = 0; i < bytes; i++) offsets.push(at);
    at += ch.length;
  }
  offsets.push(at);
  return offsets;
}

/** Spans of a trace with start and end in UTF-16 units, rarest first as they came, each with its colour: rank 0, 1, 2. */
export function placeSpans(text, spans) {
  const offsets = byteOffsets(text);
  return spans.map((s, i) => ({
    ...s, start: offsets[s.start] ?? text.length, end: offsets[s.end] ?? text.length,
    rank: Math.floor((3 * i) / (spans.length + 1)),
  }));
}

/** The text cut where the rarest span changes: [{start, end, span: index or -1}], without gaps. */
export function segments(length, spans) {
  const cuts = [...new Set([0, length, ...spans.flatMap((s) => [s.start, s.end])])]
    .filter((x) => x >= 0 && x <= length).sort((a, b) => a - b);
  const out = [];
  for (let i = 0; i + 1 < cuts.length; i++) {
    const span = spans.findIndex((s) => s.start <= cuts[i] && s.end >= cuts[i + 1]);
    const last = out.at(-1);
    if (last && last.span === span) last.end = cuts[i + 1];
    else out.push({ start: cuts[i], end: cuts[i + 1], span });
  }
  return out;
}

/** What share of the text lies in spans of at least `words` words, 0 to 1. */
export function covered(length, spans, words) {
  const long = spans.filter((s) => s.text.trim().split(/\s+/).length >= words);
  let n = 0;
  for (const part of segments(length, long)) if (part.span >= 0) n += part.end - part.start;
  return length ? n / length : 0;
}

/** A prompt from what was typed: a question framed as the model learned it, or the text as it stands. */
export function framePrompt(text, mode, mark) {
  if (mode !== "question") return text;
  const question = text.trim().replace(/^Q:\s*/, "");
  return question.includes("\n" + mark) ? `Q: ${question}` : `Q: ${question}\n${mark}`;
}

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 999.5 && i + 1 < units.length; i++) n /= 1000;
  return `${i === 0 ? n : Number(n.toPrecision(3))}\u00a0${units[i]}`;
}

export const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

export function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  return s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

/** A title for a conversation: its first words. */
export function titleOf(text) {
  const line = text.trim().split("\n")[0].replace(/^Q:\s*/, "");
  return line.length > 48 ? line.slice(0, 47).trimEnd() + "…" : line || "New conversation";
}

/** Round marks within [low, high], about `most` of them. */
export function ticks(low, high, most) {
  if (!(high > low)) return [low];
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.999);
  const out = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) out.push(Number(v.toPrecision(12)));
  return out;
}

/** Server-sent events out of a text that comes in pieces: push(piece) gives the data of those that are complete. */
export class Events {
  #rest = "";
  push(piece) {
    const blocks = (this.#rest + piece).split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map((b) => b.split("\n").filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trimStart()).join("\n"))
      .filter((d) => d !== "");
  }
}

const VERSION = "loam conversations 1";

/** Conversations as a text to keep, and back; a file that is none is refused with words for people. */
export const exportText = (list) => JSON.stringify({ format: VERSION, conversations: list }, null, 1);
export function importText(text) {
  let all;
  try {
    all = JSON.parse(text);
  } catch {
    throw new Error("This file is not JSON.");
  }
  if (all?.format !== VERSION || !Array.isArray(all.conversations))
    throw new Error("This file holds no conversations of Loam.");
  return all.conversations.filter((c) => c && typeof c.id === "string" && Array.isArray(c.messages)).map((c) => ({
    id: c.id.slice(0, 80), title: String(c.title ?? "").slice(0, 200), created: Number(c.created) || 0,
    model: String(c.model ?? ""), mode: ["chat", "question", "text"].includes(c.mode) ? c.mode : "chat",
    messages: c.messages.filter((m) => m && (m.role === "user" || Array.isArray(m.variants))).map((m) => m.role === "user"
      ? { role: "user", text: String(m.text ?? "") }
      : { role: "assistant", at: Math.min(Number(m.at) || 0, m.variants.length - 1), variants: m.variants.map((v) => ({
        text: String(v?.text ?? ""), thought: String(v?.thought ?? ""), prompt: String(v?.prompt ?? ""), seed: Number(v?.seed) || 0, model: String(v?.model ?? ""),
        tokens: Number(v?.tokens) || 0, seconds: Number(v?.seconds) || 0, end: String(v?.end ?? "") })) }),
  }));
}
