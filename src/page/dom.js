// dom: making elements. Texts become text nodes, never markup, so whatever a model or a document says stays text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !(node instanceof SVGElement) && name !== "list" && name !== "form") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/** h("p", {className: "note"}, "text", h("b", null, "more")); on… adds a listener. */
export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Says something to screen readers, once. */
export function announce(text) {
  const place = document.getElementById("status");
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 50);
}

/** A block that says what went wrong and what to do, with a button that tries again. */
export function problem(error, again) {
  return h("div", { className: "problem", role: "alert" },
    h("p", null, h("strong", null, error.message)),
    error.hint && h("p", null, error.hint),
    again && h("button", { type: "button", onclick: again }, "Try again"));
}

/** Copies a text and says so on the button. */
export function copyButton(text, label = "Copy") {
  return h("button", { type: "button", className: "quiet", onclick: async (event) => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
      announce("Copied");
    } catch {
      button.textContent = "Copying is not allowed here";
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  } }, label);
}

let fields = 0;

/** A control under its label; help is read out after it. */
export function field(label, control, help, properties) {
  control.id ||= "field-" + ++fields;
  if (help) control.setAttribute("aria-describedby", control.id + "-help");
  return h("div", { className: "field", ...properties }, h("label", { for: control.id }, label), control,
    help && h("small", { id: control.id + "-help" }, help));
}

/** A choice among [value, label] pairs. */
export function select(label, choices, value, change, properties) {
  const box = h("select", { ...properties, onchange: () => change(box.value) },
    choices.map(([v, text]) => h("option", { value: v }, text)));
  box.value = value;
  return field(label, box);
}
