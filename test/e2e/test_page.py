#!/usr/bin/env python3
"""The web page in a real Chromium: what a person does with it, by mouse and by keyboard, in light and dark, wide and narrow;
nothing it shows becomes markup, nothing is asked of other hosts, axe finds no fault. Prints TAP; pictures are kept in
BUILD/test/screenshots. The browser is Debian's; it is driven from script/requirements-page.txt's environment.
"""
import glob
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from _tap import ROOT, case, loam, main, tmp  # noqa: E402


def again():
    """With the pinned driver."""
    made = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "page"], capture_output=True, text=True, timeout=500)
    if made.returncode != 0:
        print("1..1\nnot ok 1 - script/venv.sh page")
        sys.exit("# " + made.stderr.replace("\n", "\n# "))
    os.execve(made.stdout.strip(), [made.stdout.strip(), *sys.argv], {**os.environ, "LOAM_PAGE": "1"})


if "LOAM_PAGE" not in os.environ:
    again()

import axe_playwright_python  # noqa: E402
from playwright.sync_api import expect, sync_playwright  # noqa: E402

import _lineage  # noqa: E402
import _tiny  # noqa: E402
from _lineage import HOSTILE, place  # noqa: E402
from _server import Server  # noqa: E402

with open(os.path.join(os.path.dirname(axe_playwright_python.__file__), "axe.min.js"), encoding="utf-8") as f:
    AXE = f.read()
SHOTS = os.path.join(os.environ.get("LOAM_BUILD", os.path.join(ROOT, "build")), "test", "screenshots")
os.makedirs(SHOTS, exist_ok=True)
WIDE, NARROW = {"width": 1200, "height": 800}, {"width": 390, "height": 780}

RUN = _lineage.make()
_tiny.make_model(place("tiny"))
S = Server(RUN, place("tiny"), "--template", "plain", "--data", place("other.db"), "--runs", place("runs"), "--ctx", 32768)
expect.set_options(timeout=20000)
DRIVER = sync_playwright().start()
BROWSER = DRIVER.chromium.launch(executable_path=os.environ.get("LOAM_CHROMIUM", "/usr/bin/chromium"),
                                 args=["--no-sandbox", "--disable-gpu"])


class Tab:
    """A page in a fresh profile, with what it complained of and whom it asked."""

    def __init__(self, url=None, where="", size=WIDE, **options):
        self.url = url or S.url
        self.context = BROWSER.new_context(viewport=size, **options)
        self.page = self.context.new_page()
        self.faults, self.hosts = [], set()
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.on("request", lambda r: self.hosts.add("/".join(r.url.split("/")[:3])))
        self.page.goto(self.url + "/" + where)
        self.page.set_default_timeout(20000)

    def __enter__(self):
        return self.page

    def __exit__(self, kind, *rest):
        own = {self.url, "data:", "blob:" + self.url}
        faults = [f for f in self.faults if "Failed to load resource" not in f]
        self.context.close()
        if kind is None:
            assert not faults, faults
            assert self.hosts <= own, self.hosts


def shot(page, name, whole=False):
    page.screenshot(path=os.path.join(SHOTS, name + ".png"), full_page=whole)


def axe(page):
    page.evaluate(AXE)
    r = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})")
    assert r["passes"], "axe checked nothing"
    found = [(v["id"], v["help"], [n["html"][:160] for n in v["nodes"][:3]]) for v in r["violations"]]
    assert not found, json.dumps(found, indent=1)


def say(page, text):
    page.fill("#say", text)
    page.press("#say", "Enter")


def pretend(page, text, path="**/v1/chat/completions", status=200, thought=""):
    """The next answers are this text, as a stream."""
    events = [{"choices": [{"index": 0, "delta": {"reasoning_content": thought}, "finish_reason": None}]}] if thought else []
    events += [{"choices": [{"index": 0, "delta": {"content": text[i:i + 400]}, "finish_reason": None}]} for i in range(0, len(text), 400)]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": {"completion_tokens": 7, "prompt_tokens": 3}})
    body = "".join("data: %s\n\n" % json.dumps(e) for e in events) + "data: [DONE]\n\n"
    page.route(path, lambda r: r.fulfill(status=status, content_type="text/event-stream", body=body))


def choose_chat(page):
    page.get_by_label("Model").select_option("tiny")
    expect(page.get_by_role("heading", level=1)).to_have_text("Talk with tiny")


@case("the pure modules do what they say, on odd and hostile texts too")
def _():
    with Tab() as page, open(os.path.join(HERE, "page_units.js"), encoding="utf-8") as f:
        assert page.evaluate("(" + f.read().split("\n", 1)[1] + ")()") == []


@case("a question: framed as the model was taught, answered in a stream, with tokens a second, kept over a reload")
def _():
    with Tab() as page:
        expect(page.get_by_label("Model")).to_contain_text("first · ")
        shot(page, "welcome")
        asked = []
        page.on("request", lambda r: asked.append(r.post_data_json) if r.url.endswith("/v1/completions") else None)
        say(page, "Where is the ball?")
        expect(page.locator(".origin")).to_be_visible()
        assert asked[0]["prompt"] == "Q: Where is the ball?\nA:" and asked[0]["stop"] == ["\n"] and asked[0]["temperature"] == 0
        want = S.ok("/v1/completions", {**asked[0], "stream": False, "stream_options": None})["choices"][0]["text"]
        assert page.locator(".made").inner_text().strip() == want.strip()
        expect(page.locator(".facts")).to_contain_text("tokens/s")
        page.reload()
        page.get_by_role("button", name="Where is the ball?", exact=True).click()
        assert page.locator(".made").inner_text().strip() == want.strip()


@case("where does this come from: spans in colour, documents, licences, steps; a document opens")
def _():
    with Tab() as page:
        page.get_by_label("As").select_option("text")
        say(page, "Ada put the ball in the kitchen. Dan put the")
        page.get_by_role("button", name="Where does this come from?").click()
        expect(page.locator(".spans li.span").first).to_be_visible()
        want = page.evaluate("fetch('/loam/trace', {method: 'POST', body: JSON.stringify({text: 'Ada put the ball in the kitchen. Dan put the', min_words: 3})}).then(r => r.json())")
        assert want["data"] == "first" and want["run"] and want["spans"]
        assert page.locator(".marked mark").count() > 0
        panel = page.locator(".trace")
        expect(panel).to_contain_text("word for word in the data")
        expect(panel.locator(".times").first).to_contain_text("in the data")
        assert panel.locator(".licence").first.inner_text() in ("CC0-1.0", "MIT")
        expect(panel.locator(".source").first).to_contain_text("step")
        assert page.locator(".marked").inner_text().startswith("Ada put the ball in the kitchen. Dan put the")
        shot(page, "trace", True)
        axe(page)
        page.get_by_role("button", name="Where does this come from?").click()
        expect(page.locator(".marked")).to_have_count(0)
        page.get_by_role("button", name="Where does this come from?").click()
        link = panel.locator(".source a").first
        name = link.inner_text()
        link.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.locator("pre.document")).to_contain_text("put the")


@case("a conversation: regenerate counts the seed up and keeps both answers, edit asks anew, continue goes on")
def _():
    with Tab() as page:
        choose_chat(page)
        asked = []
        page.on("request", lambda r: asked.append(r.post_data_json) if "/v1/" in r.url else None)
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("System prompt").fill("Be brief.")
        page.get_by_label("Longest answer").fill("12")
        page.get_by_role("button", name="Keep").click()
        say(page, "Hello")
        expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        assert asked[0]["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
        assert asked[0]["max_tokens"] == 12 and asked[0]["seed"] == 0
        page.get_by_role("button", name="Regenerate").click()
        expect(page.locator(".turn")).to_contain_text("2 of 2")
        assert asked[1]["seed"] == 1 and asked[1]["messages"] == asked[0]["messages"]
        page.get_by_role("button", name="Earlier answer").click()
        expect(page.locator(".turn")).to_contain_text("1 of 2")
        expect(page.locator(".facts")).to_contain_text("seed 0")
        page.get_by_role("button", name="Edit").click()
        page.get_by_label("Edit your message").fill("Good day")
        page.get_by_label("Edit your message").press("Enter")
        expect(page.locator(".bubble")).to_have_text("Good day")
        expect(page.locator(".origin")).to_be_visible()
        assert [m["content"] for m in asked[2]["messages"]] == ["Be brief.", "Good day"]
        say(page, "And then?")
        expect(page.locator(".origin")).to_have_count(2)
        assert [m["role"] for m in asked[3]["messages"]] == ["system", "user", "assistant", "user"]
        page.get_by_role("button", name="New conversation").click()
        page.get_by_label("As").select_option("text")
        say(page, "Once upon")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator(".origin")).to_be_visible()
        assert asked[5]["prompt"].startswith("Once upon") and len(asked[5]["prompt"]) > len("Once upon")


@case("Esc and the button stop an answer, and the server stops computing it")
def _():
    with Tab() as page:
        choose_chat(page)
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Longest answer").fill("30000")
        page.get_by_role("button", name="Keep").click()
        page.route("**/v1/chat/completions", lambda r: r.continue_(post_data=json.dumps({**r.request.post_data_json, "ignore_eos": True})))
        for stop in (lambda: page.keyboard.press("Escape"), lambda: page.get_by_role("button", name="Stop").click()):
            page.get_by_role("button", name="New conversation").click()
            say(page, "Tell me all")
            expect(page.locator(".running .text")).not_to_have_text("")
            stop()
            expect(page.locator(".facts")).to_contain_text("stopped by you")
            expect(page.locator("form.composer button")).to_have_text("Send")
            S.wait("loam_requests_running{model=\"tiny\"}", 0)


@case("what models and documents say stays text: HTML, scripts, links, in answers, traces, titles and documents")
def _():
    attack = HOSTILE + "\n\n[click](javascript:document.title='owned') ![x](http://example.org/x.png) <svg onload=alert(1)>\n\n```html\n<script>document.title='owned'</script>\n```"
    with Tab() as page:
        choose_chat(page)
        pretend(page, attack)
        say(page, HOSTILE)
        expect(page.locator(".origin")).to_be_visible()
        expect(page.locator("figure.code code")).to_have_text("<script>document.title='owned'</script>")
        assert HOSTILE in page.locator(".text").inner_text()
        page.unroute("**/v1/chat/completions")
        page.get_by_label("Model").select_option("first")
        page.locator(".origin").click()
        expect(page.locator(".trace")).not_to_contain_text("Looking")
        page.goto(S.url + "/#/data/first/201")
        expect(page.locator("pre.document")).to_have_text(HOSTILE)
        page.goto(S.url + "/#/data/first")
        page.get_by_label("Text").fill("<script>")
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".documents li")).to_have_count(1)
        assert page.title() != "owned" and page.evaluate("document.images.length") == 1
        assert page.evaluate("document.querySelectorAll('main script, main img, main svg, main a[href^=javascript]').length") == 0


@case("Markdown is shown as such, code can be copied, long answers stay quick")
def _():
    with Tab(permissions=["clipboard-read", "clipboard-write"]) as page:
        choose_chat(page)
        text = "## Lamps\n\nA **yellow** lamp:\n\n1. lit\n2. *unlit*\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint(1 < 2)\n```\n"
        pretend(page, text)
        say(page, "lamps")
        article = page.get_by_role("article", name="Answer by tiny")
        expect(article.get_by_role("heading", name="Lamps")).to_be_visible()
        assert article.locator("li").count() == 2 and article.locator("td").count() == 2 and article.locator("strong").inner_text() == "yellow"
        article.locator("figcaption button").click()
        assert page.evaluate("navigator.clipboard.readText()") == "print(1 < 2)"
        shot(page, "markdown")
        axe(page)
        page.unroute("**/v1/chat/completions")
        pretend(page, "A line of a long answer with **marks**.\n\n" * 4000)
        page.get_by_role("button", name="Regenerate").click()
        expect(page.locator(".turn")).to_contain_text("2 of 2", timeout=30000)
        assert page.locator(".text p").count() == 4000


@case("errors say what to do: too long, busy, gone")
def _():
    with Tab() as page:
        choose_chat(page)
        say(page, "too long " * 6000)
        expect(page.get_by_role("alert")).to_contain_text("larger --ctx")
        shot(page, "error")
        page.get_by_role("button", name="New conversation").click()
        page.route("**/v1/chat/completions", lambda r: r.fulfill(status=503, json={"error": {"message": "the queue is full"}}))
        say(page, "Hello")
        expect(page.get_by_role("alert")).to_contain_text("the queue is full")
        expect(page.get_by_role("alert")).to_contain_text("Try again in a moment")
        page.unroute("**/v1/chat/completions")
        page.get_by_role("alert").get_by_role("button", name="Try again").click()
        expect(page.locator(".origin")).to_be_visible()
        page.route("**/v1/chat/completions", lambda r: r.abort())
        say(page, "Hello again")
        expect(page.get_by_role("alert")).to_contain_text("Check that loam serve still runs")


@case("a model without known data: tracing says what to do")
def _():
    s = Server(place("tiny"), "--runs", place("tok"), "--ctx", 512)
    with Tab(s.url) as page:
        say(page, "Once")
        page.locator(".origin").click()
        expect(page.get_by_role("alert")).to_contain_text("--data D.db")
        page.goto(s.url + "/#/data")
        expect(page.locator("main")).to_contain_text("No data are known here")
        page.goto(s.url + "/#/runs")
        expect(page.locator("main")).to_contain_text("No runs are known here")
    assert s.stop()[0] == 0


@case("runs: the list, curves drawn as SVG with their numbers, seals, recipe")
def _():
    with Tab(where="#/runs") as page:
        page.get_by_role("link", name="first").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("first")
        expect(page.get_by_role("img", name="Loss in training")).to_be_visible()
        points = page.locator("polyline").first.get_attribute("points").split()
        assert len(points) == 30 and page.locator("polyline").count() == 3
        ys = [float(p.split(",")[1]) for p in points]
        assert ys[-1] > ys[0], "the loss goes down"
        page.get_by_text("As numbers").first.click()
        assert page.locator(".chart td").first.is_visible()
        expect(page.get_by_role("region", name="Verification")).to_contain_text("The seals of all 31 lines")
        expect(page.get_by_role("region", name="Verification")).to_contain_text("loam verify first")
        page.get_by_text("Recipe: everything").click()
        expect(page.locator(".recipe pre")).to_contain_text('"optimizer"')
        page.get_by_role("img", name="Loss in training").scroll_into_view_if_needed()
        box = page.get_by_role("img", name="Loss in training").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(page.locator(".readout").first).to_contain_text("at step 1")
        shot(page, "run", True)
        axe(page)


@case("a thought before the answer is folded, is text and no markup, and is kept")
def _():
    with Tab() as page:
        choose_chat(page)
        pretend(page, "It is noon.", thought=HOSTILE + " Let me see.")
        say(page, "What time is it?")
        thought = page.locator("details.thought")
        expect(thought.locator("summary")).to_have_text("Thought before the answer")
        assert not thought.locator(".text").is_visible()
        thought.locator("summary").click()
        expect(thought.locator(".text")).to_contain_text("<script>document.title='owned'</script> Let me see.")
        assert page.locator(".body .text").inner_text().strip() == "It is noon." and page.title() != "owned"
        axe(page)
        shot(page, "thought")
        page.reload()
        page.get_by_role("button", name="What time is it?", exact=True).click()
        expect(page.locator("details.thought .text")).to_contain_text("Let me see.")


@case("runs: what the folder notes of verifying: never, all steps, a difference, outdated")
def _():
    note = os.path.join(RUN, "verified.json")
    with Tab(where="#/runs") as page:
        expect(page.get_by_role("row", name="first")).to_contain_text("never")
        loam("verify", RUN)
        page.reload()
        expect(page.get_by_role("row", name="first")).to_contain_text("✓ all steps")
        shot(page, "runs-verified")
        axe(page)
        page.get_by_role("link", name="first").click()
        told = page.get_by_role("region", name="Verification")
        expect(told).to_contain_text("all steps were executed again and came out as recorded, on 20")
        expect(told).to_contain_text("who can write the folder can write the note")
        with open(note, encoding="utf-8") as f:
            kept = json.load(f)
        for change, words in (({"result": "differs", "step": 12, "difference": HOSTILE}, "✗ differs at step 12: " + HOSTILE),
                              ({"chain": "0" * 64}, "outdated"), ({"what": "spot", "steps": 20}, "✓ 20 of 30 steps")):
            with open(note, "w", encoding="utf-8") as f:
                json.dump({**kept, **change}, f)
            page.reload()
            expect(told).to_contain_text(words)
        os.remove(note)
        page.reload()
        expect(told).to_contain_text("notes no verification")
        assert page.title() != "owned"


@case("data: licences, search, filters, pages")
def _():
    with Tab(where="#/data") as page:
        expect(page.locator(".lead")).to_contain_text("201 documents")
        expect(page.locator(".documents li")).to_have_count(20)
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_text("21 to 40 of 201")).to_be_visible()
        page.get_by_label("Licence", exact=True).select_option("MIT")
        expect(page.get_by_text("1 to 20 of 100")).to_be_visible()
        page.get_by_label("Text").fill("no such words")
        page.get_by_label("Text").press("Enter")
        expect(page.get_by_text("No document fits.")).to_be_visible()
        shot(page, "data")
        axe(page)
        page.get_by_label("Data set").select_option("other")
        expect(page.locator(".lead")).to_contain_text("2 documents")
        expect(page.locator(".licence.unknown").first).to_be_visible()


@case("models: memory, context, and the card as a page of its own")
def _():
    with Tab(where="#/models") as page:
        expect(page.get_by_role("region", name="first")).to_contain_text("Memory for weights")
        axe(page)
        page.get_by_role("link", name="Card").first.click()
        expect(page.get_by_role("article", name="Card")).to_contain_text("Architecture")
        shot(page, "card")


@case("a server with a token: the page asks for it, a wrong one is asked again, it is used from then on")
def _():
    s = Server(RUN, env={"LOAM_TOKEN": "sesame"})
    with Tab(s.url) as page:
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Token").fill("wrong")
        dialog.get_by_label("Token").press("Enter")
        expect(dialog).to_contain_text("not the right one")
        shot(page, "token")
        dialog.get_by_label("Token").fill("sesame")
        dialog.get_by_role("button", name="Use it").click()
        say(page, "Where is the key?")
        expect(page.locator(".origin")).to_be_visible()
        page.reload()
        expect(page.get_by_label("Model")).to_be_visible()
        assert page.evaluate("Object.keys(localStorage).some((k) => k.includes('token'))") is False
    assert s.stop()[0] == 0


@case("by keyboard alone: skip link, views, asking, stopping, tracing; what has the focus is seen")
def _():
    with Tab() as page:
        expect(page.locator("#say")).to_be_focused()
        page.keyboard.type("Where is the cup?")
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Enter")
        expect(page.locator(".origin")).to_be_visible()
        expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        for _ in range(12):
            page.keyboard.press("Shift+Tab")
            if page.evaluate("document.activeElement.className") == "origin":
                break
        expect(page.locator(".origin")).to_be_focused()
        expect(page.locator(".origin")).to_have_css("outline-style", "solid")
        page.keyboard.press("Enter")
        expect(page.locator(".trace")).to_be_visible()
        assert page.locator(".origin").get_attribute("aria-expanded") == "true"
    with Tab(where="#/models") as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("Models")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.reload()
        for name in ("Skip to the content", "Loam", "Chat", "Runs"):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.textContent") == name
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
        assert page.evaluate("document.activeElement.id") == "main"


@case("screen readers: landmarks, the answer is announced once and whole, not piece by piece")
def _():
    with Tab() as page:
        for role in ("banner", "navigation", "main", "complementary"):
            expect(page.get_by_role(role), role).to_have_count(1)
        page.evaluate("""window.heard = []; new MutationObserver(() => {
            const t = document.getElementById('status').textContent; if (t) heard.push(t); }).observe(
            document.getElementById('status'), {childList: true, characterData: true, subtree: true})""")
        say(page, "Where is the shoe?")
        expect(page.locator(".origin")).to_be_visible()
        page.wait_for_timeout(200)
        heard = page.evaluate("heard")
        assert len(heard) <= 2 and heard[-1].startswith("Answer: ") and page.locator("[aria-live]").count() == 1, heard
        axe(page)


@case("dark by preference and by the switch, which is kept; narrow; less motion")
def _():
    ground = "getComputedStyle(document.body).backgroundColor"
    with Tab(color_scheme="dark", size=NARROW, reduced_motion="reduce") as page:
        dark = page.evaluate(ground)
        say(page, "Where is the lamp?")
        page.locator(".origin").click()
        expect(page.locator(".trace")).not_to_contain_text("Looking")
        shot(page, "narrow-dark")
        axe(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
        for view in ("runs/first", "data", "models"):
            page.goto(S.url + "/#/" + view)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
            shot(page, "narrow-" + view.replace("/", "-"))
        page.locator("#theme").click()
        assert page.evaluate(ground) != dark
        page.reload()
        assert page.evaluate(ground) != dark
        page.locator("#theme").click()
        assert page.evaluate(ground) == dark


@case("conversations: export, delete, import")
def _():
    with Tab() as page:
        say(page, "Where is the book?")
        expect(page.locator(".origin")).to_be_visible()
        with page.expect_download() as d:
            page.get_by_role("button", name="Export").click()
        path = os.path.join(tmp(), "talk.json")
        d.value.save_as(path)
        kept = json.load(open(path))
        assert kept["conversations"][0]["messages"][0]["text"] == "Where is the book?"
        page.get_by_role("button", name="Delete “Where is the book?”").click()
        expect(page.locator("aside li")).to_have_count(0)
        page.reload()
        expect(page.get_by_role("button", name="New conversation")).to_be_visible()
        expect(page.locator("aside li")).to_have_count(0)
        page.locator("input[type=file]").set_input_files(path)
        page.get_by_role("button", name="Where is the book?", exact=True).click()
        expect(page.locator(".bubble")).to_have_text("Where is the book?")
        page.locator("input[type=file]").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"{}"})
        expect(page.get_by_role("alert")).to_contain_text("no conversations of Loam")


@case("the files: policy, tags, nothing else below /page/, and every file of src/page is served")
def _():
    r = S.ask("/")
    assert r.headers["Content-Security-Policy"].startswith("default-src 'self'") and "unsafe" not in r.headers["Content-Security-Policy"]
    assert r.headers["Cache-Control"] == "no-cache" and r.headers["X-Content-Type-Options"] == "nosniff"
    assert S.ask("/", if_none_match=r.headers["ETag"]).status == 304 and S.ask("/", if_none_match='"x"').status == 200
    for path in glob.glob(os.path.join(ROOT, "src", "page", "*")):
        name = os.path.basename(path)
        got = S.ask("/" if name == "index.html" else "/page/" + name)
        with open(path, "rb") as f:
            assert got.status == 200 and got.body == f.read(), name
    for path in ("/page/", "/page/x.js", "/page/../serve/page.c", "/page/%2e%2e/x", "/page/index.html"):
        assert S.ask(path).status == 404, path
    assert S.ask("/", {}).status == 405


try:
    main()
finally:
    BROWSER.close()
    DRIVER.stop()
    S.stop()
