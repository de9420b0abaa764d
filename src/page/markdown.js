// markdown: the Markdown that models write, as a tree of plain objects (parse, pure) and then as elements (render).
// Raw HTML is text like any other, links are http or https, and pictures are not loaded.
import { copyButton, h } from "./dom.js";

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/, HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/, RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/, ROW = /^\s*\|.*\|\s*$/, DASHES = /^\s*\|(\s*:?-+:?\s*\|)+\s*$/;
const LINK = /^\[([^\]\n]{1,500})\]\((https?:\/\/[^\s)]{1,1400})\)/;
const DEPTH_MAX = 6, SPAN_MAX = 2000;

const cells = (line) => line.trim().slice(1, -1).split(/(?<!\\)\|/).map((c) => inline(c.trim().replaceAll("\\|", "|")));

/** Where `mark` closes what is open before `from`, at most SPAN_MAX further on; -1: nowhere. */
function closing(text, mark, from) {
  const ch = mark[0], near = text.slice(from, from + SPAN_MAX);
  for (let at = near.indexOf(mark); at >= 0; at = near.indexOf(mark, at + 1)) {
    let end = at;
    while (near[end] === ch) end++;
    const fits = end - at === mark.length || (ch !== "`" && end - at > mark.length && mark.length === 2);
    if (fits && at > 0 && (ch === "`" || (/\S/.test(near[at - 1]) && !(ch === "_" && /\w/.test(near[end] ?? ""))))) return from + at;
    at = end - 1;
  }
  return -1;
}

/** A mark that opens at `i`: {node, end}, or null. */
function opens(text, i, run, depth) {
  const ch = text[i], from = i + run;
  if (ch === "`") {
    const end = closing(text, "`".repeat(run), from);
    return end < 0 ? null : { node: { tag: "code", children: [text.slice(from, end).trim() || text.slice(from, end)] }, end: end + run };
  }
  if (ch === "[") {
    const m = LINK.exec(text.slice(i, i + SPAN_MAX));
    return m && { node: { tag: "a", href: m[2], children: inline(m[1], depth + 1) }, end: i + m[0].length };
  }
  if (run > 2 || !/\S/.test(text[from] ?? " ") || (ch === "_" && /\w/.test(text[i - 1] ?? ""))) return null;
  const end = closing(text, ch.repeat(run), from);
  return end < 0 ? null : { node: { tag: run === 2 ? "strong" : "em", children: inline(text.slice(from, end), depth + 1) }, end: end + run };
}

/** Inline marks: code, strong, emphasis, links. A mark spans SPAN_MAX characters at most, so the work is bounded. */
export function inline(text, depth = 0) {
  const out = [];
  let plain = 0;
  for (let i = 0; i < text.length && depth < DEPTH_MAX;) {
    let run = 1;
    if (!"`*_[".includes(text[i])) { i++; continue; }
    while (text[i] !== "[" && text[i + run] === text[i]) run++;
    const found = run < SPAN_MAX ? opens(text, i, run, depth) : null;
    if (!found) { i += run; continue; }
    if (i > plain) out.push(text.slice(plain, i));
    out.push(found.node);
    i = plain = found.end;
  }
  if (plain < text.length) out.push(text.slice(plain));
  return out;
}

function parseList(lines, i, depth) {
  const first = ITEM.exec(lines[i]), indent = first[1].length, items = [];
  while (i < lines.length) {
    const m = ITEM.exec(lines[i]);
    if (!m || m[1].length < indent || Boolean(m[3]) !== Boolean(first[3])) break;
    const body = [m[4]];
    for (i++; i < lines.length; i++) {
      const next = ITEM.exec(lines[i]);
      if (next && next[1].length <= indent) break;
      if (!next && !/^\s{2,}/.test(lines[i]) && lines[i].trim() !== "") break;
      if (lines[i].trim() === "" && !/^\s/.test(lines[i + 1] ?? "x")) break;
      body.push(lines[i].slice(Math.min(indent + 2, lines[i].length - lines[i].trimStart().length)));
    }
    items.push({ tag: "li", children: body.length === 1 ? inline(body[0]) : parse(body.join("\n"), depth + 1) });
    while (lines[i]?.trim() === "" && ITEM.test(lines[i + 1] ?? "")) i++;
  }
  return [{ tag: first[3] ? "ol" : "ul", start: first[3] ? Number(first[3]) : undefined, children: items }, i];
}

function parseTable(lines, i) {
  const head = cells(lines[i]), rows = [];
  for (i += 2; i < lines.length && ROW.test(lines[i]); i++) rows.push(cells(lines[i]));
  const row = (tag, list) => ({ tag: "tr", children: list.map((c) => ({ tag, children: c })) });
  const plain = head.every((c) => c.length === 0);
  return [{ tag: "table", children: [...(plain ? [] : [{ tag: "thead", children: [row("th", head)] }]),
    { tag: "tbody", children: rows.map((r) => row("td", r)) }] }, i];
}

const begins = (line, next) => FENCE.test(line) || HEADING.test(line) || RULE.test(line) || ITEM.test(line) || /^ {0,3}>/.test(line) ||
  (ROW.test(line) && DASHES.test(next ?? ""));

/** Blocks: paragraphs, headings, lists, quotes, code, tables, rules. */
export function parse(text, depth = 0) {
  const lines = text.split("\n"), out = [];
  if (depth > DEPTH_MAX) return [{ tag: "p", children: [text] }];
  for (let i = 0; i < lines.length;) {
    let m;
    if (lines[i].trim() === "") i++;
    else if ((m = FENCE.exec(lines[i]))) {
      const body = [];
      for (i++; i < lines.length && !lines[i].trim().startsWith(m[1]); i++) body.push(lines[i]);
      if (i++ >= lines.length && body.at(-1) === "") body.pop();
      out.push({ tag: "pre", language: m[2], children: [body.join("\n")] });
    } else if ((m = HEADING.exec(lines[i]))) {
      out.push({ tag: "h" + m[1].length, children: inline(m[2]) });
      i++;
    } else if (RULE.test(lines[i])) {
      out.push({ tag: "hr", children: [] });
      i++;
    } else if (ITEM.test(lines[i])) {
      const [list, next] = parseList(lines, i, depth);
      out.push(list);
      i = next;
    } else if (/^ {0,3}>/.test(lines[i])) {
      const body = [];
      for (; i < lines.length && /^ {0,3}>/.test(lines[i]); i++) body.push(lines[i].replace(/^ {0,3}> ?/, ""));
      out.push({ tag: "blockquote", children: parse(body.join("\n"), depth + 1) });
    } else if (ROW.test(lines[i]) && DASHES.test(lines[i + 1] ?? "")) {
      const [table, next] = parseTable(lines, i);
      out.push(table);
      i = next;
    } else {
      const body = [lines[i++]];
      while (i < lines.length && lines[i].trim() !== "" && !begins(lines[i], lines[i + 1])) body.push(lines[i++]);
      out.push({ tag: "p", children: inline(body.join("\n")) });
    }
  }
  return out;
}

const headingOf = (node) => /^h([1-6])$/.exec(node.tag)?.[1];

/** Elements of a tree. Headings begin at `level`, since the page has its own above, and leave none out. */
export function render(tree, level = 2) {
  const used = [...new Set(tree.map(headingOf).filter(Boolean))].sort();
  return tree.map((node) => {
    if (typeof node === "string") return document.createTextNode(node);
    if (node.tag === "pre") {
      return h("figure", { className: "code" },
        h("figcaption", null, node.language || "code", copyButton(() => node.children[0])),
        h("pre", { tabIndex: 0 }, h("code", null, node.children[0])));
    }
    const children = render(node.children, level);
    if (node.tag === "a") return h("a", { href: node.href, rel: "noopener noreferrer", target: "_blank" }, children);
    if (node.tag === "table") return h("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: "Table" }, h("table", null, children));
    if (node.tag === "ol") return h("ol", { start: node.start }, children);
    const heading = headingOf(node);
    return h(heading ? "h" + Math.min(6, level + used.indexOf(heading)) : node.tag, null, children);
  });
}
