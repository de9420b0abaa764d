#!/usr/bin/env python3
"""loam card: every form of it is accepted by the format's own library, tells the truth that the files tell, is the same bytes
wherever it is made, and nothing that a file says of itself can break a page.

The libraries live in a pinned environment: script/venv.sh card. Croissant's is in test_data_card.py; here it is compared with
what that test has checked.
"""
import atexit
import hashlib
import html.parser
import json
import os
import re
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tap  # noqa: E402
import _train as t  # noqa: E402
from _tap import ROOT, Fail, case, loam  # noqa: E402

# Both validators in one process: starting it takes longer than all it does.
VALIDATE = """
import io, json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_python_model import v3_0_1 as spdx
strict = JsonStrictValidator(SchemaVersion.V1_6)
def cyclonedx(text):
    bad = strict.validate_str(text)
    return str(bad)[:3000] if bad else ""
def check_spdx(text):
    objects = spdx.SHACLObjectSet()
    spdx.JSONLDDeserializer().read(io.BytesIO(text.encode()), objects)
    if objects.missing_ids:
        return "no element has these ids: %s" % objects.missing_ids
    out = io.BytesIO()
    spdx.JSONLDSerializer().write(objects, out)  # which checks what must be there
    if len(json.loads(out.getvalue())["@graph"]) != len(json.loads(text)["@graph"]):
        return "written again it has another number of elements"
    return ""
for line in sys.stdin:
    kind, text = json.loads(line)
    try:
        bad = cyclonedx(text) if kind == "cyclonedx" else check_spdx(text)
    except Exception as e:
        bad = repr(e)[:3000]
    print(json.dumps(bad), flush=True)
"""
_validator = None


def validate(kind, text):
    global _validator
    if _validator is None:
        run = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "card"], capture_output=True, text=True)
        if run.returncode:
            raise Fail("script/venv.sh card: " + run.stderr)
        _validator = subprocess.Popen([run.stdout.strip(), "-c", VALIDATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
        atexit.register(_validator.kill)
    _validator.stdin.write(json.dumps([kind, text]) + "\n")
    _validator.stdin.flush()
    return json.loads(_validator.stdout.readline())


class Page(html.parser.HTMLParser):
    """Well-formedness, and the text."""
    ALONE = {"meta", "!doctype"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = [], set(), []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            assert name in ("class", "tabindex", "role", "aria-label", "scope", "lang", "charset", "name", "content",
                            "http-equiv"), (tag, attrs)
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        self.text.append(data)


def check_markdown(text):
    """Rows of a table have as many cells as its head; nothing raw."""
    assert "<" not in text.replace("&lt;", ""), re.findall(".*<.*", text)[:3]
    columns = 0
    for line in text.splitlines():
        if line.startswith("|"):
            n = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1
            assert columns in (0, n), line
            columns = n
        else:
            columns = 0


def cards(model, *args, env=None, cwd=None, forms=("md", "html", "spdx", "cyclonedx")):
    """All forms, each checked."""
    out = {}
    for form in forms:
        run = subprocess.run([_tap.LOAM, "card", os.path.abspath(model), *([] if form == "md" else ["--" + form]),
                              *map(str, args)], capture_output=True, env=dict(os.environ, **(env or {})), cwd=cwd)
        if run.returncode:
            raise Fail("loam card %s --%s: %s" % (model, form, run.stderr.decode("utf-8", "replace")))
        out[form] = text = run.stdout.decode("utf-8")
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f]", text), form
        if form == "md":
            check_markdown(text)
        elif form == "html":
            page = Page(text)
            assert not page.tags & {"script", "img", "iframe", "link", "object"}, page.tags
            out["text"] = " ".join(page.text)
        else:
            out[form + ".json"] = json.loads(text)
            bad = validate(form, text)
            assert not bad, (form, bad)
    return out


def at(name):
    return t.tmp(name)


def sha256(path):
    return hashlib.sha256(t.read(path)).hexdigest()


def element(spdx, kind):
    return [x for x in spdx["@graph"] if x["type"] == kind]


_run = None


def run_folder():
    global _run
    if _run is None:
        documents = t.texts(60)
        with open(at("d.jsonl"), "w") as f:
            for i, text in enumerate(documents):
                licence = ["CC0-1.0", "MIT OR GPL-2.0-or-later", "CC-BY-NC-4.0", "", "LicenseRef-own", "CC0-1.0"][i % 6]
                f.write(json.dumps({"id": "t-%d" % i, "text": text, "source": "src-%d" % (i % 3),
                                    **({"licence": licence} if licence else {})}) + "\n")
        loam("data", "build", at("d.db"), at("d.jsonl"))
        _run = at("first")
        loam("train", _run, "--data", at("d.db"), "--tokenizer", t.write_tokenizer(at("tok")), *t.SHAPE, "--steps", 6,
             "--eval-every", 3)
    return _run


@case("a run: every form is valid and says what the run's files say")
def _():
    run = run_folder()
    c = cards(run)
    recipe = json.loads(t.read(run + "/recipe.json"))
    last = t.lines(run)[-1]
    for form in ("md", "html", "spdx", "cyclonedx"):
        for digest in (last["digest"], recipe["data"]["digest"], sha256(run + "/model.gguf")):
            assert digest in c[form], (form, digest)
        assert at("") not in c[form] and os.path.dirname(run) not in c[form], form
    assert sha256(run + "/recipe.json") in c["md"] and last["weights"] in c["md"]
    assert "| CC0-1.0 | 20 |" in c["md"] and "| unknown | 10 |" in c["md"] and "| LicenseRef-own | 10 |" in c["md"], c["md"]
    assert "30 of 60 documents: licence unknown for 10, not an open one for 20" in c["md"], c["md"]
    assert "no class" in c["md"] and "not met as far as can be seen" in c["md"]
    assert "an estimate, not a measurement" in c["md"] or "measured by the processors" in c["md"]
    model, data = element(c["spdx.json"], "ai_AIPackage")[0], element(c["spdx.json"], "dataset_DatasetPackage")[0]
    keys = {x["key"]: x["value"] for x in model["ai_hyperparameter"]}
    assert keys["optimizer.lr"] == "0.01" and keys["model.width"] == "32", keys
    links = {(r["from"], r["relationshipType"]): r["to"] for r in element(c["spdx.json"], "Relationship")}
    assert links[model["spdxId"], "trainedOn"] == [data["spdxId"]]
    assert links[model["spdxId"], "hasDeclaredLicense"] == ["expandedlicensing_NoAssertionLicense"]
    doc = element(c["spdx.json"], "SpdxDocument")[0]
    assert "ai" not in doc["profileConformance"] and "dataset" not in doc["profileConformance"], doc
    component = c["cyclonedx.json"]["metadata"]["component"]
    assert component["type"] == "machine-learning-model"
    assert component["hashes"][0]["content"] == sha256(run + "/model.gguf")
    consumed = component["modelCard"]["considerations"]["environmentalConsiderations"]["energyConsumptions"][0]
    assert consumed["activityEnergyCost"]["unit"] == "kWh" and consumed["activityEnergyCost"]["value"] >= 0
    quantity = model["ai_energyConsumption"]["ai_trainingEnergyConsumption"][0]["ai_energyQuantity"]
    assert re.fullmatch(r"[0-9]+\.[0-9]+", quantity), quantity  # an xsd:decimal: SPDX's shapes refuse a JSON number


@case("the validators do refuse what is wrong")
def _():
    good = cards(run_folder(), "--by", "X", forms=["spdx", "cyclonedx"])
    for change in (lambda c: c.pop("bomFormat"), lambda c: c.update(odd=1),
                   lambda c: c["metadata"]["component"].update(type="model"),
                   lambda c: c["metadata"]["component"]["hashes"][0].update(content="12"),
                   lambda c: c["metadata"]["component"]["modelCard"]["modelParameters"]["approach"].update(type="magic")):
        c = json.loads(good["cyclonedx"])
        change(c)
        assert validate("cyclonedx", json.dumps(c)), change
    for change in (lambda g: g[0].pop("created"), lambda g: g[0].update(created="yesterday"),
                   lambda g: g[-1].update(profileConformance=["magic"]), lambda g: g[-1].pop("creationInfo"),
                   lambda g: element({"@graph": g}, "Relationship")[0].pop("from"),
                   lambda g: element({"@graph": g}, "ai_AIPackage")[0].update(suppliedBy="urn:nobody:1"),
                   lambda g: element({"@graph": g}, "dataset_DatasetPackage")[0].pop("dataset_datasetType")):
        s = json.loads(good["spdx"])
        change(s["@graph"])
        assert validate("spdx", json.dumps(s)), change


@case("what only people know: by options, by card.json; the profiles are claimed when all they demand is there")
def _():
    run = run_folder()
    said = ["--licence", "apache-2.0", "--by", "Ada & <Lovelace>", "--url", "https://example.org/m", "--date", "2026-02-28",
            "--report", "https://example.org/r", "--data-url", "https://example.org/d", "--data-by", "Bob", "--data-date",
            "2024-02-29"]
    c = cards(run, *said)
    doc, model = element(c["spdx.json"], "SpdxDocument")[0], element(c["spdx.json"], "ai_AIPackage")[0]
    data = element(c["spdx.json"], "dataset_DatasetPackage")[0]
    assert {"ai", "dataset"} <= set(doc["profileConformance"]), doc
    assert model["releaseTime"] == "2026-02-28T00:00:00Z" and data["releaseTime"] == "2024-02-29T00:00:00Z"
    for need in ("suppliedBy", "software_downloadLocation", "software_packageVersion", "software_primaryPurpose"):
        assert model[need], need
    for need in ("dataset_datasetType", "builtTime", "originatedBy", "software_downloadLocation", "software_primaryPurpose"):
        assert data[need], need
    assert c["cyclonedx.json"]["metadata"]["component"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert "Ada & <Lovelace>" in c["text"] and "Ada &amp; &lt;Lovelace>" not in c["md"]
    t.write(run + "/card.json", json.dumps({"licence": "gemma", "by": "Carol", "limits": ["Only | for *tests*"]}).encode())
    c = cards(run)
    assert "LicenseRef-gemma" in c["md"] and "Carol" in c["md"] and "Only \\| for \\*tests\\*" in c["md"]
    assert "gemma" in element(c["spdx.json"], "simplelicensing_SimpleLicensingText")[0]["simplelicensing_licenseText"]
    assert "Apache-2.0" in cards(run, "--licence", "Apache-2.0", forms=["md"])["md"]
    t.write(run + "/card.json", b'{"licens": "x"}')
    assert "licens" in loam("card", run, want=1).stderr
    os.remove(run + "/card.json")
    for bad in ("2026-02-29", "2026-13-01", "1969-12-31", "tomorrow", "2026-1-1"):
        loam("card", run, "--date", bad, want=2)
    loam("card", run, "--html", "--spdx", want=2)


@case("scores: from files, kept with the run, in every form")
def _():
    run = run_folder()
    score = {"task": "homeworld", "seed": 1, "facts": {"n": 96, "right": 48, "accuracy": 0.5, "low": 0.4, "high": 0.6,
                                                       "chance": 0.125, "types": {}}, "items": []}
    t.write(at("s.json"), json.dumps(score).encode())
    c = cards(run, "--scores", at("s.json"))
    assert "| homeworld, facts | 48 of 96 | 50.0 % | 40.0 to 60.0 % | 12.5 % |" in c["md"], c["md"]
    metric = c["cyclonedx.json"]["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]
    assert metric["confidenceInterval"] == {"lowerBound": "0.400000", "upperBound": "0.600000"}, metric
    model = element(c["spdx.json"], "ai_AIPackage")[0]
    assert any(x["key"] == "homeworld facts accuracy" and x["value"].startswith("0.500000") for x in model["ai_metric"])
    assert any(r["relationshipType"] == "testedOn" for r in element(c["spdx.json"], "Relationship"))
    for broken in ({}, {"task": "x"}, {**score, "facts": {**score["facts"], "right": 97}},
                   {**score, "facts": {**score["facts"], "accuracy": 2}}, [1]):
        t.write(at("bad.json"), json.dumps(broken).encode())
        loam("card", run, "--scores", at("bad.json"), want=1)
    t.write(run + "/scores.json", json.dumps(score).encode())
    assert "48 of 96" in cards(run, forms=["md"])["md"]
    os.remove(run + "/scores.json")


@case("the same bytes from any folder, with any threads, locale and time zone; the time comes from the run or the environment")
def _():
    run = run_folder()
    first = cards(run)
    other = cards(run, "--threads", 1, cwd="/", env={"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8"})
    assert first == other
    stamped = cards(run, env={"SOURCE_DATE_EPOCH": "951782400"})
    assert "2000-02-29T00:00:00Z" in stamped["spdx"] and "2000-02-29" in stamped["md"]
    assert stamped["cyclonedx.json"]["metadata"]["timestamp"] == "2000-02-29T00:00:00Z"
    assert "SOURCE_DATE_EPOCH" in loam("card", run, want=2, env=dict(os.environ, SOURCE_DATE_EPOCH="soon")).stderr
    loam("card", run, "--html", "-o", at("c.html"))
    assert t.read(at("c.html")).decode() == first["html"]


@case("data that are elsewhere, gone, or others; Croissant; the built-in corpus")
def _():
    run = run_folder()
    own = loam("data", "card", at("d.db")).stdout
    assert loam("card", run, "--croissant").stdout == own
    os.rename(at("d.db"), at("moved.db"))
    c = cards(run)
    assert "it is not where the run was made" in c["md"] and "the data set with the recipe's digest is not here" in c["md"]
    assert "| CC0-1.0 | 20 |" in cards(run, "--data", at("moved.db"), forms=["md"])["md"]
    t.write_data(at("d.db"), t.texts(7))
    assert "not the one that the recipe names" in cards(run, forms=["md"])["md"]
    os.rename(at("moved.db"), at("d.db"))

    loam("rebuild", run, at("without"), "--without", "licence='CC0-1.0'")
    c = cards(at("without"))
    assert "## Removals" in c["md"] and "20 documents; the run was rebuilt" in c["md"] and "| CC0-1.0 |" not in c["md"], c["md"]
    assert "| unknown | 10 |" in c["md"] and "| src-1 | MIT OR GPL-2.0-or-later | 10 |" in c["md"], c["md"]
    assert "licence=" not in "".join(c[form] for form in ("md", "html", "spdx", "cyclonedx"))

    built = at("built")
    loam("train", built, "--data", "homeworld:docs=300,mix=tiny", "--tokenizer", at("tok"), *t.SHAPE, "--steps", 5)
    c = cards(built, "--licence", "CC0-1.0", "--report", "https://example.org/r", "--paper", "https://example.org/p")
    assert "| homeworld | CC0-1.0 | 300 |" in c["md"] and "all 300 documents are here" in c["md"], c["md"]
    assert "met: 10 of 10 items" in c["md"] and element(c["spdx.json"], "ai_AIPackage")[0][
        "ai_useSensitivePersonalInformation"] == "no"
    loam("card", built, "--croissant", want=2)
    loam("card", built, "--eval", "--mix", "tiny", timeout=100)
    c = cards(built, "--licence", "CC0-1.0", "--report", "https://example.org/r", "--paper", "https://example.org/p")
    assert "homeworld, facts" in c["md"] and "Class I, open science" in c["md"], c["md"]
    loam("card", at("tok"), want=2)
    loam("card", at("nowhere"), want=1)


def gguf(path, keys):
    """A model of one tensor that says these things of itself."""
    def text(b):
        return struct.pack("<Q", len(b)) + b

    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys))
    for key, value in keys:
        head += text(key)
        if isinstance(value, list):
            head += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
        else:
            head += struct.pack("<I", 8) + text(value)
    head += text(b"w") + struct.pack("<IQIQ", 1, 8, 0, 0)
    head += b"\0" * (-len(head) % 32)
    t.write(path, head + struct.pack("<8f", *range(8)))
    return path


HOSTILE = [b"</script><script>alert(1)</script>", b"| a | b |\n| - | - |\n# h", b"\x1b[2J\x1b]0;x\x07", b"\xff\xfe\xc0\x80\xed\xa0\x80",
           b"\xe2\x80\xae\xe2\x81\xa6evil\xf3\xa0\x81\x81", b"\0\x01\x02", b"`code` [x](javascript:alert(1)) <img src=x onerror=y>",
           b"\"'&;--><!--", b"A" * 3_000_000, b"\xf0\x9f\x98\x80" * 100_000, b"javascript:alert(1)", b"https://e.org/\" onclick=\"x",
           b"%s%n%99999d", b"$(id) ${x} {{x}}", b"", b" ", b"- [ ] x", b"=cmd|' /C calc'!A0", b"\\|\\\\|"]


@case("hostile metadata break no page and no JSON")
def _():
    names = [b"general.name", b"general.architecture", b"general.license", b"general.author", b"general.url", b"general.version",
             b"general.description", b"general.base_model.0.name", b"loam.recipe", b"general.odd<b>|key"]
    for i, bad in enumerate(HOSTILE):
        keys = [(name, bad) for name in names] + [(b"general.languages", HOSTILE), (b"general.datasets", [bad] * 3)]
        c = cards(gguf(at("bad.gguf"), keys))
        assert len(c["md"]) < 400_000, len(c["md"])
    recipe = json.dumps({"model": {"arch": "x|<b>", "k": [1, {"a": None}]}, "evil</td>": {"\u202e": "\u0007"}, "n": 3}).encode()
    c = cards(gguf(at("bad.gguf"), [(b"general.architecture", b"llama"), (b"loam.recipe", recipe)]))
    assert "x\\|&lt;b\\>" in c["md"], c["md"]
    for broken in (b"[" * 100, b"{}", b"[1,2]", b"null"):
        cards(gguf(at("bad.gguf"), [(b"general.architecture", b"llama"), (b"loam.recipe", broken)]))


@case("a downloaded model: what is known and, honestly, what is not")
def _():
    c = cards(gguf(at("them.gguf"), [(b"general.architecture", b"mystery"), (b"general.name", b"Them 1B"),
                                     (b"general.license", b"apache-2.0"), (b"general.datasets", [b"a/b", b"c/d"])]))
    assert "# Them 1B" in c["md"] and "| Licence of the weights | Apache-2.0 |" in c["md"]
    assert "a/b, c/d" in c["md"] and "nothing shows that it was trained on exactly these" in c["md"], c["md"]
    for lacking in ("recipe", "energy", "scores", "training data", "shape", "tokenizer"):
        assert "| %s |" % lacking in c["md"].split("## Unknown")[1].split("##")[0], lacking
    assert "| II | Training, validation and testing code | unknown |" in c["md"]
    assert "1970-01-01T00:00:00Z" in c["spdx"] and "time is not known" in c["spdx"]
    assert "timestamp" not in c["cyclonedx.json"]["metadata"]
    assert sha256(at("them.gguf")) in c["md"]

    folder = at("hf")
    loam("convert", run_folder(), folder)
    t.write(folder + "/README.md", b"---\r\nlicense: other\nlicense_name: \"Own Licence\"\nlanguage:\n- en\n- de\ndatasets: [x/y, 'z']\n"
            b"base_model: some/base\n---\n# Hi\nlicense: MIT\n")
    c = cards(folder)
    assert "LicenseRef-Own-Licence" in c["md"] and "| Languages | en, de |" in c["md"], c["md"]
    assert "| Data sets it names | x/y, 'z' |" in c["md"] and "| Based on | some/base |" in c["md"], c["md"]
    assert "| model.safetensors | `%s` |" % sha256(folder + "/model.safetensors") in c["md"]
    for readme in (b"---", b"---\n", b"---\n- x\n:\nlicense:\n---\n", b"---\nlicense: " + b"x" * 100_000, b"\xff---\n"):
        t.write(folder + "/README.md", readme)
        cards(folder)
    c = cards(run_folder() + "/model.gguf")
    j = json.loads(loam("card", run_folder(), "--json", "--licence", "MIT").stdout)
    assert j["form"] == "run" and j["licence_open"] and j["mof"]["class"] is None and not j["osaid"]["met"], j
    assert {x["item"]: x["there"] for x in j["mof"]["items"]}["Datasets"] == "partly" and len(j["mof"]["items"]) == 17
    assert j["data"]["licence_unknown"] == 10 and j["data"]["licence_not_open"] == 20
    loam("card", run_folder(), "--json", "--html", want=2)
    assert "The file carries its recipe" in c["md"] and "by its digest alone" in c["md"]


_tap.main()
