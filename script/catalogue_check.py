#!/usr/bin/env python3
"""Asks the hub whether what share/loam/catalogue.tsv says of each model is so.

    script/catalogue_check.py [--catalogue FILE] [TEXT]     only the rows that contain TEXT

For each row: that the repository is there, its licence, its architecture, that it has safetensors and config.json, and its
parameters: half the bytes of the 16-bit weights, to 1 %. One line a row, "as it says", what differs, or why it could not be
asked. The hub is LOAM_HF_ENDPOINT, else huggingface.co, by the proxies of the environment; a token in HF_TOKEN goes to it.
Exit status: 0 all is so, 3 something differs, 1 something could not be asked.
"""
import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COLUMNS = ("openness", "reference", "parameters", "family", "licence", "sources")
ANSWER_MAX, SECONDS, TOLERANCE = 16 << 20, 30, 0.01


class StaysThere(urllib.request.HTTPRedirectHandler):
    """The token is not sent on to another host."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new and new.host != req.host:
            new.remove_header("Authorization")
        return new


def rows(path):
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                yield dict(zip(COLUMNS, line.rstrip("\n").split("\t"), strict=True))


def ask(endpoint, repo):
    request = urllib.request.Request("%s/api/models/%s/revision/main?blobs=true" % (endpoint, repo), headers={"User-Agent": "loam"})
    if token := os.environ.get("HF_TOKEN"):
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.build_opener(StaysThere).open(request, timeout=SECONDS) as answer:
        return json.loads(answer.read(ANSWER_MAX))


def weight_bytes(siblings):
    """Of model.safetensors, else of its shards."""
    sizes = {s["rfilename"]: s.get("size") or 0 for s in siblings}
    return sizes.get("model.safetensors") or sum(n for name, n in sizes.items() if re.fullmatch(r"model-.*\.safetensors", name))


def differences(row, told):
    card, siblings = told.get("cardData") or {}, told.get("siblings") or []
    licence, family = card.get("license"), (told.get("config") or {}).get("model_type")
    if licence == "other":
        licence = card.get("license_name")
    if licence != row["licence"]:
        yield "its licence is %s" % licence
    if family is not None and family != row["family"]:
        yield "its architecture is %s" % family
    millions = weight_bytes(siblings) / 2e6
    if not any(s["rfilename"] == "config.json" for s in siblings) or millions == 0:
        yield "it has no safetensors with config.json"
    elif abs(millions / float(row["parameters"]) - 1) > TOLERANCE:
        yield "it has %.1f million parameters" % millions


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--catalogue", default=os.path.join(ROOT, "share", "loam", "catalogue.tsv"))
    p.add_argument("text", nargs="?", default="", metavar="TEXT")
    args = p.parse_args()
    endpoint = os.environ.get("LOAM_HF_ENDPOINT") or "https://huggingface.co"
    differ = unasked = 0
    for row in rows(args.catalogue):
        if args.text not in "\t".join(row.values()):
            continue
        try:
            told = list(differences(row, ask(endpoint, row["reference"].removeprefix("hf:"))))
            differ += bool(told)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as why:
            if isinstance(why, urllib.error.HTTPError) and why.code == 404:
                told, differ = ["it is not there"], differ + 1
            else:
                told, unasked = ["could not be asked: %s" % why], unasked + 1
        print("%-44s %s" % (row["reference"], "; ".join(told) or "as it says"), flush=True)
    return 3 if differ else 1 if unasked else 0


if __name__ == "__main__":
    sys.exit(main())
