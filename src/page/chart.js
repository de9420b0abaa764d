// chart: a line over steps as SVG, with its numbers as a table for who cannot see it.
import { h, svg } from "./dom.js";
import { count, ticks } from "./text.js";

const LEFT = 48, RIGHT = 16, TOP = 12, BOTTOM = 30, TABLE_ROWS = 20;

const short = (v) => (Math.abs(v) >= 10000 ? count(Math.round(v / 1000)) + "k" : String(Number(v.toPrecision(4))));

function scales(series, steps) {
  const all = series.flatMap((s) => s.points);
  const x1 = Math.max(steps, ...all.map((p) => p[0])), y1 = Math.max(...all.map((p) => p[1]));
  const x0 = Math.min(0, ...all.map((p) => p[0])), y0 = Math.min(0, ...all.map((p) => p[1]));
  return { x0, x1: x1 > x0 ? x1 : x0 + 1, y0, y1: y1 > y0 ? y1 * 1.05 : y0 + 1 };
}

function table(title, series) {
  const rows = series.flatMap((s) => {
    const step = Math.ceil(s.points.length / TABLE_ROWS);
    return s.points.filter((_, i) => i % step === 0 || i === s.points.length - 1).map(([x, y]) => [s.name, x, y]);
  });
  return h("details", null, h("summary", null, "As numbers"), h("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: title }, h("table", null,
    h("thead", null, h("tr", null, ["Curve", "Step", "Value"].map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", null, rows.map(([name, x, y]) => h("tr", null, h("td", null, name), h("td", null, count(Math.round(x))), h("td", null, short(y))))))));
}

/** series: [{name, points: [[step, value], ...], dots}]; unit stands beside the title; the axis goes to `steps` at least. */
export function chart(title, unit, series, steps, wide) {
  const W = wide ? 960 : 460, H = wide ? 280 : 210;
  series = series.filter((s) => s.points.length);
  if (!series.length) return null;
  const k = scales(series, steps);
  const px = (x) => LEFT + ((x - k.x0) / (k.x1 - k.x0)) * (W - LEFT - RIGHT), py = (y) => H - BOTTOM - ((y - k.y0) / (k.y1 - k.y0)) * (H - TOP - BOTTOM);
  const last = series.map((s) => `${s.name}: ${short(s.points.at(-1)[1])} at step ${count(Math.round(s.points.at(-1)[0]))}`).join("; ");
  const guide = svg("line", { class: "guide", y1: TOP, y2: H - BOTTOM, visibility: "hidden" });
  const readout = h("p", { className: "readout" }, last);
  const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}. ${last}` },
    ticks(k.y0, k.y1, 5).map((v) => [svg("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: py(v), y2: py(v) }), svg("text", { x: LEFT - 8, y: py(v) + 4, "text-anchor": "end" }, short(v))]),
    ticks(k.x0, k.x1, wide ? 10 : 5).map((v) => svg("text", { x: px(v), y: H - BOTTOM + 20, "text-anchor": "middle" }, short(v))),
    guide,
    series.map((s, i) => s.dots
      ? s.points.map(([x, y]) => svg("circle", { class: "s" + i, cx: px(x).toFixed(1), cy: py(y).toFixed(1), r: 3 }))
      : svg("polyline", { class: "s" + i, points: s.points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" ") })));
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect(), x = k.x0 + (((event.clientX - box.left) / box.width * W - LEFT) / (W - LEFT - RIGHT)) * (k.x1 - k.x0);
    const near = series.map((s) => [s, s.points.reduce((a, p) => (Math.abs(p[0] - x) < Math.abs(a[0] - x) ? p : a))]);
    guide.setAttribute("x1", px(near[0][1][0]));
    guide.setAttribute("x2", px(near[0][1][0]));
    guide.setAttribute("visibility", "visible");
    readout.textContent = near.map(([s, p]) => `${s.name}: ${short(p[1])} at step ${count(Math.round(p[0]))}`).join("; ");
  });
  picture.addEventListener("pointerleave", () => { guide.setAttribute("visibility", "hidden"); readout.textContent = last; });
  return h("figure", { className: "chart" }, h("figcaption", null, h("strong", null, title), h("span", null, unit)), picture, readout, table(title, series));
}
