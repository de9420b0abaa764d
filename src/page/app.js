// app: the views by the part of the address behind #, and light or dark.
import { h, problem } from "./dom.js";
import { keep, setting } from "./store.js";
import { chatView } from "./chat.js";
import { runsView } from "./runs.js";
import { dataView } from "./data.js";
import { modelsView } from "./models.js";

const VIEWS = { chat: ["Chat", chatView], runs: ["Runs", runsView], data: ["Data", dataView], models: ["Models", modelsView] };
const THEMES = ["auto", "light", "dark"];
let leave = null;

function setTheme(name) {
  const button = document.getElementById("theme");
  document.documentElement.dataset.theme = name;
  const [sign, word] = { auto: ["◐", " Auto"], light: ["○", " Light"], dark: ["●", " Dark"] }[name];
  button.replaceChildren(sign, h("span", null, word));
  button.title = "Light or dark";
  button.ariaLabel = `Colours: ${name}. Change`;
}

function theme() {
  setTheme(setting("theme", "auto"));
  document.getElementById("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(setting("theme", "auto")) + 1) % THEMES.length];
    keep("theme", next);
    setTheme(next);
  });
}

async function show(first) {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const [title, view] = VIEWS[name] ?? VIEWS.chat;
  const main = document.getElementById("main"), place = h("div", { className: "view " + title.toLowerCase() });
  leave?.abort();
  leave = new AbortController();
  document.title = `${title} · Loam`;
  for (const link of document.querySelectorAll("nav a"))
    if (link.textContent === title) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  main.replaceChildren(place);
  if (!first && title !== "Chat") main.focus({ preventScroll: true });
  try {
    await view(place, rest, leave.signal);
  } catch (error) {
    if (error.name !== "AbortError") place.replaceChildren(problem(error, () => show(false)));
  }
}

theme();
addEventListener("hashchange", () => { if (location.hash !== "#main") show(false); });
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
show(true);
