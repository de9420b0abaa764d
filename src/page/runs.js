// runs: the trainings that the server knows, and one of them: curves, seals, recipe.
import { copyButton, h } from "./dom.js";
import { get } from "./api.js";
import { chart } from "./chart.js";
import { count, duration } from "./text.js";

const AGAIN_MS = 5000;

/** What the run's folder notes of its last verification, in a few words: [text, class]. */
function noted(v) {
  if (v.state === "verified") return [v.steps === v.of_steps ? "✓ all steps" : `✓ ${count(v.steps)} of ${count(v.of_steps)} steps`, "good"];
  if (v.state === "differs") return [v.step === null ? "✗ differs" : `✗ differs at step ${count(v.step)}`, "bad"];
  return [v.state, ""];
}

export async function runsView(place, [name], signal) {
  if (name) return oneRun(place, name, signal);
  const list = await get("/loam/runs", signal);
  place.replaceChildren(h("h1", null, "Runs"), list.length ? h("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: "Table" }, h("table", { className: "big" },
    h("thead", null, h("tr", null, ["Run", "Parameters", "Steps", "Loss", "Bits a byte, held out", "Time", "Verified"].map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", null, list.map((r) => h("tr", null,
      h("th", { scope: "row" }, h("a", { href: "#/runs/" + encodeURIComponent(r.run) }, r.run)), h("td", null, count(r.parameters)), h("td", null, `${count(r.step)} of ${count(r.steps)}`),
      h("td", null, r.step ? r.loss.toFixed(4) : ""), h("td", null, r.val_bits_per_byte ? r.val_bits_per_byte.toFixed(4) : ""),
      h("td", null, r.problem ? h("span", { className: "bad" }, r.problem) : r.seconds ? duration(r.seconds) : ""),
      h("td", null, h("span", { className: noted(r.verification)[1] }, noted(r.verification)[0])))))))
    : h("p", { className: "note" }, "No runs are known here. Start the server with a run folder as the model, or with --runs FOLDER."));
}

function facts(pairs) {
  return h("dl", { className: "facts-list" }, pairs.filter(([, v]) => v !== "" && v !== null && v !== undefined).map(([k, v]) => h("div", null, h("dt", null, k), h("dd", null, v))));
}

/** The same at length: when, what and by which arithmetic, and that it is a note and no proof. */
function verification(v) {
  const [text, className] = noted(v), day = v.date?.slice(0, 10), by = `on ${day}, arithmetic ${v.arithmetic}, ${v.isa}`;
  const how = { whole: "all steps were executed again", from: `the steps from before step ${v.from} were executed again`, spot: `${v.segments} of ${v.of_segments} segments were executed again` }[v.what];
  if (v.state === "never") return h("p", null, "Its folder notes no verification.");
  if (v.state === "outdated") return h("p", null, "A verification is noted, of another state of this run: outdated.");
  return h("p", null, h("span", { className }, text), v.state === "verified" ? `: ${how} and came out as recorded, ${by}.` : `: ${v.difference} (${by}).`,
    " So its folder notes; who can write the folder can write the note.");
}

function seals(r) {
  const command = `loam verify ${r.run} --spot 2`;
  return h("section", { className: "card", ariaLabel: "Verification" }, h("h2", null, "Can it be proved?"),
    h("p", null, h("span", { className: "good" }, "✓ "), `The seals of all ${count(r.chain.lines)} lines of its chain hold: none was changed afterwards.`),
    verification(r.verification),
    h("p", null, "Whether the steps give these weights is proved by executing them again, on any machine:"),
    h("p", { className: "command" }, h("code", null, command), copyButton(() => command)),
    facts([["Chain", h("code", null, r.chain.digest)], ["Weights", h("code", null, r.chain.weights)]]));
}

async function oneRun(place, name, signal) {
  const r = await get("/loam/runs/" + encodeURIComponent(name), signal);
  if (signal.aborted) return;
  const m = r.recipe.model, b = r.recipe.batch;
  const opened = place.querySelector("details.recipe")?.open;
  place.replaceChildren(
    h("p", { className: "crumbs" }, h("a", { href: "#/runs" }, "Runs")), h("h1", null, name),
    facts([["Steps", `${count(r.step)} of ${count(r.steps)}`], ["Parameters", count(r.parameters)],
      ["Tokens a step", count(b.sequences * m.ctx)], ["Loss", r.loss.toFixed(4)],
      ["Held out", r.val_bits_per_byte ? r.val_bits_per_byte.toFixed(4) + " bits a byte" : ""], ["Time", r.seconds ? duration(r.seconds) : ""],
      ["Documents", count(r.recipe.data.documents)], ["Taken out", r.removed ? count(r.removed) + " documents" : ""]]),
    h("div", { className: "charts" },
      chart("Loss in training", "nats a token", [{ name: "loss", points: r.curves.loss }], r.step, true),
      chart("Held-out documents", "bits a byte", [{ name: "held out", points: r.curves.held_out }], r.step),
      chart("Speed", "tokens a second", [{ name: "tokens/s", points: r.curves.tokens_per_second }], r.step)),
    r.chain ? seals(r) : "",
    h("details", { className: "recipe", open: Boolean(opened) }, h("summary", null, "Recipe: everything that determines the bits"), h("pre", { tabIndex: 0 }, JSON.stringify(r.recipe, null, 2))));
  if (r.step < r.steps && r.step > 0) {
    const timer = setTimeout(() => { if (!document.hidden) oneRun(place, name, signal).catch(() => {}); }, AGAIN_MS);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }
}
