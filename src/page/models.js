// models: what is served, the memory it needs, and its card.
import { h, problem } from "./dom.js";
import { get, getText } from "./api.js";
import { parse, render } from "./markdown.js";
import { bytes, count } from "./text.js";

export async function modelsView(place, [name], signal) {
  const { models, version } = await get("/loam/models", signal);
  if (name) return card(place, name, signal);
  const fact = (k, v) => h("div", null, h("dt", null, k), h("dd", null, v));
  place.replaceChildren(h("h1", null, "Models"), h("div", { className: "tiles" }, models.map((m) => h("section", { className: "card", ariaLabel: m.id },
    h("h2", null, m.id),
    h("dl", { className: "facts-list" }, fact("Family", m.family), fact("Memory for weights", bytes(m.weights_bytes)),
      fact(`For a full context`, `${bytes(m.context_bytes)}, ${count(m.context)} tokens`), fact("For all requests", `up to ${bytes(m.cache_bytes_max)}`),
      fact("Conversations", m.chat ? "yes" : "no, it continues texts"), fact("Made by", m.run ? h("a", { href: "#/runs/" + encodeURIComponent(m.run) }, "run " + m.run) : "not known here")),
    h("p", { className: "row" }, h("a", { className: "button", href: "#/models/" + encodeURIComponent(m.id) }, "Card"), m.run && h("a", { className: "button", href: "#/data/" + encodeURIComponent(m.run) }, "Data"))))),
  h("p", { className: "note" }, `Loam ${version}`));
}

async function card(place, name, signal) {
  const path = "/loam/card/" + encodeURIComponent(name);
  const box = h("article", { className: "text card", ariaLabel: "Card" }, h("p", { className: "note" }, "Reading the model's files…"));
  place.replaceChildren(h("p", { className: "crumbs" }, h("a", { href: "#/models" }, "Models")), box);
  try {
    box.replaceChildren(...render(parse(await getText(path + "?form=markdown", signal)), 1));
  } catch (error) {
    if (error.name !== "AbortError") box.replaceChildren(problem(error, () => card(place, name, signal)));
  }
}
