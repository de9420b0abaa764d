// data: the documents that models learned from: sources, licences, search, one document.
import { field, h, problem, select } from "./dom.js";
import { get } from "./api.js";
import { bytes, count } from "./text.js";

const PAGE = 20;

export async function dataView(place, [name, id], signal) {
  const { data } = await get("/loam/data", signal);
  if (!data.length) {
    place.replaceChildren(h("h1", null, "Data"), h("p", { className: "note" }, "No data are known here. Start the server with a run folder as the model, or with --data D.db."));
    return;
  }
  if (id) return oneDocument(place, name, id, signal);
  const chosen = data.find((d) => d.name === name)?.name ?? data[0].name;
  const head = h("div", { className: "row" }, h("h1", null, "Data"),
    data.length > 1 && select("Data set", data.map((d) => [d.name, d.name]), chosen, (v) => { location.hash = "#/data/" + encodeURIComponent(v); }));
  place.replaceChildren(head, h("p", { className: "note" }, "Opening the documents… The first time this takes some seconds."));
  const path = "/loam/data/" + encodeURIComponent(chosen), summary = await get(path, signal);
  place.replaceChildren(head, totals(chosen, summary), ...browser(path, chosen, summary, signal));
}

function totals(name, s) {
  return [h("p", { className: "lead" }, h("strong", null, count(s.documents)), " documents, ", h("strong", null, bytes(s.bytes)), ` of text in ${name}.`),
    h("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: "Table" }, h("table", { className: "big" },
      h("thead", null, h("tr", null, ["Source", "Licence", "Documents", "Text"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", null, s.origins.map((o) => h("tr", null, h("td", null, o.source || "unknown"), h("td", null, licence(o.licence)), h("td", null, count(o.documents)), h("td", null, bytes(o.bytes)))))))]
    .reduce((box, x) => (box.append(x), box), h("section", { ariaLabel: "Sources and licences" }));
}

const licence = (text) => h("span", { className: text ? "licence" : "licence unknown" }, text || "unknown");
const unique = (list) => [...new Set(list)].sort();

/** The form and its results. */
function browser(path, name, summary, signal) {
  const results = h("section", { className: "results", ariaLabel: "Documents" });
  const words = h("input", { type: "search", name: "text", maxLength: 120, placeholder: "words as they stand in the text" });
  const filter = { licence: "*", source: "*" };
  let offset = 0, latest = null;
  const load = async () => {
    const q = new URLSearchParams({ offset, limit: PAGE });
    if (words.value) q.set("text", words.value);
    for (const key of ["licence", "source"]) if (filter[key] !== "*") q.set(key, filter[key]);
    latest?.abort();
    latest = new AbortController();
    const own = AbortSignal.any([signal, latest.signal]);
    results.setAttribute("aria-busy", "true");
    try {
      const page = await get(`${path}?${q}`, own);
      results.replaceChildren(...rows(page, name, (next) => { offset = next; load(); }));
    } catch (error) {
      if (error.name !== "AbortError") results.replaceChildren(problem(error, load));
    }
    results.removeAttribute("aria-busy");
  };
  const restart = () => { offset = 0; load(); };
  const choices = (key) => [["*", "any"], ...unique(summary.origins.map((o) => o[key])).map((v) => [v, v || "unknown"])];
  const one = (key, label) => select(label, choices(key), "*", (v) => { filter[key] = v; restart(); });
  load();
  return [h("form", { className: "search row", role: "search", onsubmit: (event) => { event.preventDefault(); restart(); } },
    field("Text", words, null, { className: "field grow" }), one("licence", "Licence"), one("source", "Source"), h("button", { className: "main" }, "Search")), results];
}

function rows(page, name, turn) {
  const last = page.offset + page.documents.length;
  const range = page.count ? `${count(page.offset + 1)} to ${count(last)} of ${count(page.count)}${page.capped ? " or more" : ""}` : "No document fits.";
  return [h("p", { className: "note", role: "status" }, range),
    h("ul", { className: "documents" }, page.documents.map((d) => h("li", null,
      h("div", { className: "source" }, h("a", { href: `#/data/${encodeURIComponent(name)}/${d.id}` }, d.name || `document ${d.id}`), h("span", null, d.source || "source unknown"), licence(d.licence), h("span", null, bytes(d.bytes))),
      h("p", { className: "excerpt" }, d.excerpt + (d.bytes > 200 ? "…" : ""))))),
    h("div", { className: "row" },
      h("button", { type: "button", disabled: page.offset === 0, onclick: () => turn(Math.max(0, page.offset - PAGE)) }, "Back"),
      h("button", { type: "button", disabled: last >= page.count, onclick: () => turn(last) }, "Next"))];
}

async function oneDocument(place, name, id, signal) {
  const d = await get(`/loam/data/${encodeURIComponent(name)}/${encodeURIComponent(id)}`, signal);
  const line = (k, v) => v && h("div", null, h("dt", null, k), h("dd", null, v));
  place.replaceChildren(h("p", { className: "crumbs" }, h("a", { href: "#/data/" + encodeURIComponent(name) }, "Data: " + name)), h("h1", null, d.name || `Document ${d.id}`),
    h("dl", { className: "facts-list" }, line("Licence", licence(d.licence)), line("Source", d.source || "unknown"), line("Number", String(d.id)), line("Size", bytes(d.bytes)), line("Topic", d.topic), line("Kind", d.kind),
      line("SHA-256", h("code", null, d.sha256))),
    h("pre", { className: "document", tabIndex: 0 }, d.text), d.cut && h("p", { className: "note" }, "Only the beginning is shown."));
}
