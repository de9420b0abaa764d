// chat: conversations, the composer, and what is said; one answer at a time.
import * as store from "./store.js";
import { announce, h, problem, select } from "./dom.js";
import { get, stream } from "./api.js";
import { answerBody } from "./answer.js";
import { settingsButton, settings, sampling } from "./settings.js";
import { bytes, exportText, framePrompt, importText, titleOf } from "./text.js";

const MODES = { chat: "Conversation", question: "Question and answer", text: "Continue a text" };
const HINTS = {
  chat: "Ask or tell something…",
  question: "Who made the yellow lamp?",
  text: "Write a beginning; the model goes on from there…",
};

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(36).padStart(2, "0")).join("");
const fresh = (model, mode) => ({ id: newId(), title: "", created: Date.now(), model, mode, messages: [] });

/** How a model is best talked to: one that learned to answer marks gets questions, one without a template texts. */
const modeOf = (m) => (m.answers.length ? "question" : m.chat ? "chat" : "text");
const modesOf = (m) => Object.keys(MODES).filter((k) => k === "text" || (k === "chat" ? m.chat : m.answers.length > 0));

export async function chatView(place, [wanted], signal) {
  const { models } = await get("/loam/models", signal);
  new Chat(place, models, signal).start(wanted);
}

class Chat {
  constructor(place, models, signal) {
    this.place = place;
    this.models = models;
    this.signal = signal;
    this.stop = null;
    signal.addEventListener("abort", () => this.stop?.abort());
  }

  async start(wanted) {
    this.list = await store.all().catch(() => []);
    const found = this.list.find((c) => c.id === wanted);
    const model = this.model(found?.model ?? store.setting("model", ""));
    this.c = found ?? fresh(model.id, modeOf(model));
    this.log = h("div", { className: "log" });
    this.side = h("aside", { ariaLabel: "Conversations" });
    this.tools = h("div", { className: "tools" });
    this.title = h("h1", { className: "hidden" });
    this.place.replaceChildren(this.side, h("section", { className: "talk", ariaLabel: "Conversation" }, this.title, this.tools, this.log, this.composer()));
    this.draw();
    this.input.focus();
  }

  model(id) { return this.models.find((m) => m.id === id) ?? this.models[0]; }
  get now() { return this.model(this.c.model); }

  draw() {
    this.drawSide();
    this.drawTools();
    this.drawLog();
  }

  // ---- the list of conversations ----

  drawSide() {
    const item = (c) => h("li", null,
      h("button", { type: "button", className: "pick", ariaCurrent: c.id === this.c.id ? "true" : null, onclick: () => this.open(c) }, c.title || "New conversation"),
      h("button", { type: "button", className: "quiet small", ariaLabel: "Delete “" + c.title + "”", title: "Delete", onclick: () => this.remove(c) }, "×"));
    const file = h("input", { type: "file", accept: "application/json", className: "hidden", tabIndex: -1, ariaLabel: "File to import", onchange: () => this.import(file) });
    const wide = matchMedia("(min-width: 60rem)").matches;
    this.side.replaceChildren(h("details", { open: wide },
      h("summary", null, "Conversations"),
      h("button", { type: "button", className: "wide", onclick: () => this.open(fresh(this.c.model, this.c.mode)) }, "New conversation"),
      this.list.length ? h("ul", null, this.list.map(item)) : h("p", { className: "note" }, "They are kept in this browser and nowhere else."),
      h("div", { className: "row" },
        h("button", { type: "button", className: "quiet small", onclick: () => this.export(), disabled: !this.list.length }, "Export"),
        h("button", { type: "button", className: "quiet small", onclick: () => file.click() }, "Import"), file,
        h("button", { type: "button", className: "quiet small", disabled: !this.list.length, onclick: () => this.removeAll() }, "Delete all"))));
  }

  open(c) {
    this.stop?.abort();
    this.c = c;
    this.draw();
    this.input.focus();
  }

  async keep() {
    this.c.title ||= titleOf(this.c.messages[0]?.text ?? "");
    if (!this.list.includes(this.c)) this.list.unshift(this.c);
    this.drawSide();
    this.title.textContent = this.c.title;
    await store.put(this.c).catch((error) => announce("This browser does not keep the conversation: " + error.message));
  }

  async remove(c) {
    this.list = this.list.filter((x) => x !== c);
    await store.remove(c.id);
    if (c === this.c) this.open(fresh(this.c.model, this.c.mode));
    this.drawSide();
    announce("Deleted");
  }

  async removeAll() {
    if (!confirm(`Delete all ${this.list.length} conversations from this browser?`)) return;
    await store.clear();
    this.list = [];
    this.open(fresh(this.c.model, this.c.mode));
  }

  export() {
    const url = URL.createObjectURL(new Blob([exportText(this.list)], { type: "application/json" }));
    h("a", { href: url, download: "loam-conversations.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  async import(file) {
    try {
      const more = importText(await file.files[0].text());
      for (const c of more) await store.put(c);
      this.list = await store.all();
      this.drawSide();
      announce(`${more.length} conversations imported`);
    } catch (error) {
      this.side.append(problem(error));
    }
  }

  // ---- model, mode, settings ----

  drawTools() {
    const m = this.now, modes = modesOf(m);
    this.tools.replaceChildren(
      select("Model and memory", this.models.map((x) => [x.id, `${x.id} · ${bytes(x.weights_bytes + x.context_bytes)}`]), m.id, (id) => {
        this.c.model = id;
        if (!modesOf(this.now).includes(this.c.mode) || !this.c.messages.length) this.c.mode = modeOf(this.now);
        store.keep("model", id);
        this.draw();
      }, { title: "Memory for its weights and one full context" }),
      modes.length > 1 && select("As", modes.map((k) => [k, MODES[k]]), this.c.mode, (mode) => {
        this.c.mode = mode;
        this.draw();
      }),
      settingsButton(() => this.c.mode));
    this.input.placeholder = HINTS[this.c.mode];
  }

  // ---- what is said ----

  drawLog() {
    const all = this.c.messages.map((m, i) => this.message(m, i));
    this.title.textContent = all.length ? this.c.title || "Conversation" : "";
    this.title.hidden = !all.length;
    this.log.replaceChildren(...(all.length ? all : [this.welcome()]));
  }

  welcome() {
    const m = this.now, examples = h("div", { className: "examples" });
    if (this.c.mode === "question" && m.run) this.findExamples(m.run, examples);
    return h("div", { className: "welcome" },
      h("h1", null, this.c.mode === "chat" ? `Talk with ${m.id}` : `Ask ${m.id}`),
      h("p", null, this.c.mode === "question"
        ? "It answers single questions in the way it was taught. Under each answer you can see which documents it may come from."
        : this.c.mode === "text" ? "A model without a conversation format: it continues what you write."
          : "Everything stays on this machine. The same question with the same seed gets the same answer."), examples);
  }

  /** Questions from the model's own data, to begin with. */
  async findExamples(run, place) {
    try {
      const page = await get(`/loam/data/${encodeURIComponent(run)}?offset=0&limit=40`, this.signal);
      const asked = page.documents.flatMap((d) => [...d.excerpt.matchAll(/(?:^|\n)Q: ([^\n]{8,60}\?)(?=\n)/g)].map((m) => m[1]));
      const general = asked.filter((q) => /^(Who|What|How)/.test(q) && !/ have| carrying| holding/.test(q));
      place.replaceChildren(...[...new Set(general.length ? general : asked)].slice(0, 3)
        .map((q) => h("button", { type: "button", onclick: () => this.send(q) }, q)));
    } catch { /* without examples it works as well */ }
  }

  message(m, i) {
    if (m.role === "user") {
      return h("article", { className: "said user", ariaLabel: "You" },
        h("div", { className: "bubble" }, m.text),
        h("div", { className: "acts" }, h("button", { type: "button", className: "quiet small", onclick: (e) => this.edit(i, e.currentTarget.closest("article")) }, "Edit")));
    }
    const last = i === this.c.messages.length - 1;
    return answerBody(m, {
      mode: this.c.mode, model: this.model(m.variants[m.at]?.model), running: last && this.stop !== null,
      turn: (step) => { m.at += step; store.put(this.c); this.replace(i); },
      again: last ? () => this.answer(i, null) : null,
      more: last && this.c.mode === "text" ? () => this.answer(i, m.variants[m.at]) : null,
    });
  }

  replace(i) { this.log.children[i]?.replaceWith(this.message(this.c.messages[i], i)); }

  edit(i, article) {
    const box = h("textarea", { className: "edit", rows: 3, value: this.c.messages[i].text, ariaLabel: "Edit your message" });
    const done = () => {
      const text = box.value.trim();
      if (!text) return;
      this.c.messages.length = i;
      this.send(text);
    };
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { event.stopPropagation(); this.replace(i); this.input.focus(); }
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); done(); }
    });
    article.replaceChildren(box, h("div", { className: "acts" },
      h("button", { type: "button", className: "main small", onclick: done }, "Send"),
      h("button", { type: "button", className: "quiet small", onclick: () => this.replace(i) }, "Cancel")));
    box.focus();
  }

  // ---- asking ----

  composer() {
    this.input = h("textarea", { rows: 1, id: "say", ariaLabel: "Your message", maxLength: 1 << 20 });
    this.button = h("button", { type: "submit", className: "main" }, "Send");
    this.input.addEventListener("input", () => this.grow());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.stop) this.send(this.input.value);
    });
    this.place.ownerDocument.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.stop) this.stop.abort();
    }, { signal: this.signal });
    return h("form", { className: "composer", onsubmit: (event) => {
      event.preventDefault();
      if (this.stop) this.stop.abort();
      else this.send(this.input.value);
    } }, this.input, this.button, h("p", { className: "keys" }, "Enter sends, Shift+Enter begins a line, Esc stops"));
  }

  grow() {
    this.input.style.height = "auto";
    this.input.style.height = Math.min(this.input.scrollHeight + 2, 240) + "px";
  }

  async send(text) {
    if (!text.trim() || this.stop) return;
    if (text === this.input.value) this.input.value = "";
    this.grow();
    this.c.messages.push({ role: "user", text });
    this.c.messages.push({ role: "assistant", at: -1, variants: [] });
    this.drawLog();
    await this.answer(this.c.messages.length - 1, null);
  }

  /** The request for message i: what came before it, in the form that the mode asks for. */
  request(i, before, seed) {
    const m = this.now, own = sampling(this.c.mode, seed), said = this.c.messages[i - 1].text;
    const common = { model: m.id, ...own, stream: true, stream_options: { include_usage: true } };
    if (this.c.mode === "chat") {
      const system = settings().system.trim();
      const messages = this.c.messages.slice(0, i).map((x) => x.role === "user" ? { role: "user", content: x.text }
        : { role: "assistant", content: x.variants[x.at]?.text ?? "" });
      return ["/v1/chat/completions", { ...common, messages: system ? [{ role: "system", content: system }, ...messages] : messages }, ""];
    }
    const prompt = framePrompt(said, this.c.mode, m.answers[0]) + (before?.text ?? "");
    const stop = this.c.mode === "question" ? ["\n"] : undefined;
    return ["/v1/completions", { ...common, prompt, stop }, framePrompt(said, this.c.mode, m.answers[0])];
  }

  /** Answers message i anew, or goes on from `before`. */
  async answer(i, before) {
    const c = this.c, m = c.messages[i], stop = (this.stop = new AbortController());
    const seed = settings().seed + (before ? 0 : m.variants.length);
    const [path, body, prompt] = this.request(i, before, seed);
    const v = before ?? { text: "", prompt, seed, model: this.now.id, tokens: 0, seconds: 0, end: "" };
    if (!before) m.at = m.variants.push(v) - 1;
    const begun = performance.now(), tokensBefore = v.tokens;
    let first = 0, failed = null, pending = false;
    const show = () => {
      pending = false;
      if (this.c === c) { this.replace(i); this.follow(); }
    };
    this.busy(true);
    show();
    try {
      for await (const event of stream(path, body, stop.signal)) {
        const choice = event.choices?.[0];
        first ||= performance.now();
        v.text += choice?.delta?.content ?? choice?.text ?? "";
        v.thought = (v.thought ?? "") + (choice?.delta?.reasoning_content ?? "");
        if (choice?.finish_reason) v.end = choice.finish_reason;
        if (event.usage) v.tokens = tokensBefore + event.usage.completion_tokens;
        v.seconds = (performance.now() - begun) / 1000;
        if (!pending) { pending = true; setTimeout(show, v.text.length > 20000 ? 400 : 60); }
      }
    } catch (error) {
      if (error.name === "AbortError") v.end = "stopped";
      else failed = error;
    }
    this.stop = null;
    if (failed && !v.text && !v.thought) { m.variants.pop(); m.at = m.variants.length - 1; }
    this.busy(false);
    if (this.c === c) this.drawLog();
    if (failed) this.fail(c, i, failed);
    else announce((v.end === "stopped" ? "Stopped. " : "Answer: ") + v.text.slice(0, 600));
    await this.keepIt(c);
  }

  async keepIt(c) {
    if (c === this.c) await this.keep();
    else await store.put(c);
  }

  fail(c, i, error) {
    const m = c.messages[i];
    if (!m.variants.length) c.messages.length = i;
    if (this.c !== c) return;
    this.drawLog();
    this.log.append(problem(error, () => {
      if (!m.variants.length) c.messages.push(m);
      this.drawLog();
      this.answer(i, null);
    }));
    this.follow();
  }

  busy(on) {
    this.button.textContent = on ? "Stop" : "Send";
    this.button.classList.toggle("stop", on);
    this.log.setAttribute("aria-busy", on);
    if (on) announce("Answering");
  }

  /** Stays at the end, unless the reader has scrolled up. */
  follow() {
    const end = document.documentElement;
    if (end.scrollHeight - scrollY - innerHeight < 160) scrollTo({ top: end.scrollHeight });
  }
}
