// Checks of the page's pure modules, run in the browser by test_page.py: resolves to a list of failures.
async () => {
  const t = await import("/page/text.js"), { parse, inline } = await import("/page/markdown.js");
  const failures = [];
  const same = (got, want, what) => {
    if (JSON.stringify(got) !== JSON.stringify(want)) failures.push(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`);
  };
  const throws = (work, word) => {
    try { work(); failures.push("no error: " + word); } catch (e) { if (!e.message.includes(word)) failures.push(e.message); }
  };

  same(t.byteOffsets("aé世😀b"), [0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 5, 6], "byte offsets");
  const spans = t.placeSpans("é one two", [{ start: 3, end: 6, text: "one" }, { start: 3, end: 10, text: "one two" }]);
  same(spans.map((s) => [s.start, s.end, s.rank]), [[2, 5, 0], [2, 9, 1]], "spans");
  same(t.segments(9, spans), [{ start: 0, end: 2, span: -1 }, { start: 2, end: 5, span: 0 }, { start: 5, end: 9, span: 1 }], "segments");
  same(t.segments(0, []), [], "no text");
  same(t.covered(10, [{ start: 0, end: 5, text: "a b c d" }, { start: 5, end: 9, text: "x" }], 4), 0.5, "share");
  same(t.framePrompt(" Who? ", "question", "A:"), "Q: Who?\nA:", "question");
  same(t.framePrompt("Q: Who?\nA: I", "question", "A:"), "Q: Who?\nA: I", "an answer begun");
  same(t.framePrompt(" x ", "text", "A:"), " x ", "text");
  same([t.bytes(0), t.bytes(999), t.bytes(1000), t.bytes(2408576), t.bytes(1e18)], ["0\u00a0B", "999\u00a0B", "1\u00a0kB", "2.41\u00a0MB", "1000000\u00a0TB"], "bytes");
  same([t.duration(3.2), t.duration(1394), t.duration(7300)], ["3 s", "23 min 14 s", "2 h 1 min"], "time");
  same(t.ticks(0, 2.02, 5), [0, 0.5, 1, 1.5, 2], "ticks");
  same(t.ticks(1, 1, 5), [1], "one tick");
  same(t.titleOf("Q: Who made it?\nA:"), "Who made it?", "title");
  same(t.titleOf("  "), "New conversation", "no title");

  const e = new t.Events();
  same([e.push("data: {\"a\""), e.push(":1}\n"), e.push("\n: note\n\ndata: x\ndata: y\n\n")], [[], [], ["{\"a\":1}", "x\ny"]], "events in pieces");

  const c = { id: "x", title: "t", created: 1, model: "m", mode: "chat", messages: [{ role: "user", text: "hi" },
    { role: "assistant", at: 0, variants: [{ text: "<b>", thought: "", prompt: "", seed: 1, model: "m", tokens: 2, seconds: 3, end: "stop" }] }] };
  same(t.importText(t.exportText([c])), [c], "export and import");
  throws(() => t.importText("x"), "not JSON");
  throws(() => t.importText("{}"), "no conversations");
  same(t.importText(JSON.stringify({ format: "loam conversations 1", conversations: [null, { id: 5 }, { id: "a", messages: [7, null] }] }))[0].messages, [], "odd values");

  same(inline("a **b** `c*d*` [x](https://e.org/) [y](javascript:alert(1)) snake_case_name"), ["a ", { tag: "strong", children: ["b"] }, " ",
    { tag: "code", children: ["c*d*"] }, " ", { tag: "a", href: "https://e.org/", children: ["x"] }, " [y](javascript:alert(1)) snake_case_name"], "inline");
  same(parse("# T\n\ntext\nmore\n\n- a\n- b\n  - c\n\n1. x\n2. y").map((n) => n.tag), ["h1", "p", "ul", "ol"], "blocks");
  same(parse("```js\n<b>\n").at(0), { tag: "pre", language: "js", children: ["<b>"] }, "code that has not ended");
  same(parse("| a | b |\n|---|---|\n| 1 | 2 |")[0].children.map((x) => x.tag), ["thead", "tbody"], "table");
  same(parse("<img src=x onerror=alert(1)>"), [{ tag: "p", children: ["<img src=x onerror=alert(1)>"] }], "HTML is text");
  const begun = performance.now();
  parse("> ".repeat(20000));
  parse("*".repeat(50000));
  parse("- ".repeat(2000) + "\n".repeat(5000));
  parse("[".repeat(20000) + "`".repeat(20001) + "_a".repeat(20000));
  parse("| ".repeat(10000));
  if (performance.now() - begun > 4000) failures.push(`hostile Markdown took ${performance.now() - begun} ms`);
  return failures;
}
