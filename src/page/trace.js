// trace: where an answer comes from: its spans that stand word for word in the data, the documents, the steps.
import { announce, h, problem } from "./dom.js";
import { post } from "./api.js";
import { count, covered, placeSpans, segments } from "./text.js";

const SHOWN = 6, DOCS = 3, STEPS = 4, COVER_WORDS = 4;

const docLink = (data, d) => `#/data/${encodeURIComponent(data)}/${d.id}`;

function steps(list, hasRun) {
  if (!list.length) return hasRun ? "not read in training (held out, or later)" : null;
  const some = list.slice(0, STEPS).map(count).join(", ");
  return `read at step${list.length > 1 ? "s" : ""} ${some}${list.length > STEPS ? ` and ${list.length - STEPS} more` : ""}`;
}

function documentItem(d, span, data, hasRun) {
  return h("li", null,
    h("div", { className: "source" }, data ? h("a", { href: docLink(data, d) }, d.name || `document ${d.id}`) : `document ${d.id}`,
      h("span", null, d.source || "source unknown"), h("span", { className: d.licence ? "licence" : "licence unknown" }, d.licence || "licence unknown"),
      steps(d.steps, hasRun) && h("span", null, steps(d.steps, hasRun))),
    h("blockquote", { className: "context" }, d.before ? "…" + d.before : "", h("mark", { className: "r" + span.rank }, span.text), d.behind ? d.behind + "…" : ""));
}

function spanItem(span, k, data, hasRun) {
  return h("li", { className: "span", id: null },
    h("p", { className: "quote" }, h("mark", { className: "r" + span.rank, "data-span": k }, span.text),
      h("span", { className: "times" }, `${count(span.count)} time${span.count === 1 ? "" : "s"} in the data`)),
    h("ul", { className: "docs" }, span.docs.slice(0, DOCS).map((d) => documentItem(d, span, data, hasRun))));
}

/** The text with each part in the colour of the rarest span it is in. */
function marked(text, spans) {
  return h("div", { className: "text flow marked" }, segments(text.length, spans).map((p) => {
    const part = text.slice(p.start, p.end);
    return p.span < 0 ? part : h("mark", { className: "r" + spans[p.span].rank, "data-span": p.span }, part);
  }));
}

function list(spans, data, hasRun) {
  const shown = spans.filter((s, i) => spans.findIndex((x) => x.text === s.text) === i);
  const items = shown.map((s) => spanItem(s, spans.indexOf(s), data, hasRun));
  const box = h("ol", { className: "spans" }, items.slice(0, SHOWN));
  if (items.length <= SHOWN) return box;
  const more = h("button", { type: "button", className: "quiet small", onclick: () => { box.append(...items.slice(SHOWN)); more.remove(); } },
    `Show ${items.length - SHOWN} more, less rare`);
  return [box, more];
}

function result(text, found, data, hasRun) {
  const spans = placeSpans(text, found.spans), share = covered(text.length, spans, COVER_WORDS);
  if (!spans.length) return [spans, h("p", null, "No run of three or more words of this text stands in the data. It may still be learned from it.")];
  return [spans, h("p", { className: "summary" }, h("strong", null, `${Math.round(100 * share)} %`),
    ` of the text stands word for word in the data, in runs of ${COVER_WORDS} words or more. The rarest come first. That a document holds these words does not prove that the answer comes from it.`),
  list(spans, data, hasRun)];
}

/** The button under an answer, and the panel that it opens. restore() gives the answer's words without marks. */
export function tracePanel(v, mode, body, restore) {
  const text = mode === "chat" ? v.text : v.prompt + v.text;
  const panel = h("section", { className: "trace", ariaLabel: "Where this comes from", hidden: true });
  let asked = false;
  const show = async () => {
    asked = true;
    panel.setAttribute("aria-busy", "true");
    panel.replaceChildren(h("p", { className: "note" }, "Looking through the data… The first time after the start this takes some seconds."));
    try {
      const body_ = { model: v.model, text, top: 60, docs: DOCS, min_words: 3 };
      const found = await post("/loam/trace", body_);
      const data = found.data ?? null;
      const [spans, ...parts] = result(text, found, data, found.run ?? false);
      panel.replaceChildren(...parts.flat());
      body.replaceChildren(marked(text, spans));
      announce(`${spans.length} passages found in the data`);
    } catch (error) {
      asked = false;
      panel.replaceChildren(problem(error, show));
    }
    panel.removeAttribute("aria-busy");
  };
  const button = h("button", { type: "button", className: "origin", ariaExpanded: "false", onclick: () => {
    panel.hidden = !panel.hidden;
    button.ariaExpanded = String(!panel.hidden);
    if (panel.hidden) { body.replaceChildren(restore()); asked = false; }
    else if (!asked) show();
  } }, "Where does this come from?");
  return h("div", { className: "origins" }, button, panel);
}
