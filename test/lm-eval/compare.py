#!/usr/bin/env python3
"""lm-evaluation-harness asks `loam serve` and, with the same model, transformers: the answers must be the same. Prints TAP.

The model is models/homeworld, as the folder that `loam convert` makes of it; the questions are homeworld's own (`loam corpus
homeworld --quiz`), as two tasks made here, without any network: one that ranks four answers by their log-likelihood, one that
generates. Asked are `local-completions` with token ids, with text, and with the server's own tokenizer, and
`local-chat-completions`. Compared are scores and, request by request, log-likelihoods, greedy flags and texts.

The harness cuts questions that exceed a model's context of n, except in text and chat requests: for log-likelihoods to n - 1
tokens at an API, to max_length + 1 with transformers, to generate in another way again. Only questions that fit are asked.
Not in .ci/run, because its environment has 6.2 GB. Runs itself again with the Python of script/venv.sh lm-eval. `make lm-eval`.
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from _server import Server  # noqa: E402
from _tap import LOAM, ROOT, case, loam, main, tmp  # noqa: E402

if "LOAM_LM_EVAL" not in os.environ:
    made = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "lm-eval"], stdout=subprocess.PIPE, text=True)
    if made.returncode != 0:
        sys.exit("1..1\nnot ok 1 - script/venv.sh lm-eval")
    os.execve(made.stdout.strip(), [made.stdout.strip(), *sys.argv], {
        **os.environ, "LOAM_LM_EVAL": "1", "LOAM_BIN": LOAM, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false", "HF_HOME": os.path.join(tmp(), "hf"), "OPENAI_API_KEY": "none"})

import lm_eval  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

N = 40
TOLERANCE = 1e-4  # of a log-likelihood: sums of binary32 in other orders
FOLDER = os.path.join(tmp(), "homeworld")
loam("convert", os.path.join(ROOT, "models", "homeworld", "model.gguf"), FOLDER)


def questions(kind):
    """Of at most 450 characters, so that question and answer fit into 256 tokens."""
    lines = loam("corpus", "homeworld", "--quiz", kind, "--docs", 10 * N).stdout.splitlines()
    return [q for q in map(json.loads, lines) if len(q["prompt"]) <= 450][:N]


def write(name, text):
    with open(os.path.join(tmp(), name), "w") as f:
        f.write(text)
    return os.path.join(tmp(), name)


def tasks():
    asked = questions("reading")
    answers = sorted({q["answer"] for q in asked})
    rows = []
    for i, q in enumerate(asked):
        wrong = [a for a in answers if a != q["answer"]]
        four = [wrong[(i + k * 7) % len(wrong)] for k in range(3)]
        four.insert(i % 4, q["answer"])
        rows.append({"prompt": q["prompt"], "choices": four, "gold": i % 4, "answer": q["answer"]})
    data = write("quiz.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    common = ("dataset_path: json\ndataset_kwargs: {data_files: {test: %s}}\ntest_split: test\n"
              "doc_to_text: '{{prompt}}'\nmetadata: {version: 1}\n" % data)
    write("homeworld_rank.yaml", "task: homeworld_rank\noutput_type: multiple_choice\ndoc_to_choice: '{{choices}}'\n"
          "doc_to_target: gold\nmetric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n" + common)
    write("homeworld_say.yaml", "task: homeworld_say\noutput_type: generate_until\ndoc_to_target: '{{answer}}'\n"
          "generation_kwargs: {until: [\"\\n\"], max_gen_toks: 12, do_sample: false}\n"
          "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
          "filter_list: [{name: strip, filter: [{function: regex, regex_pattern: '\\s*(.*\\S)\\s*'}, {function: take_first}]}]\n"
          + common)
    return TaskManager(include_path=tmp(), include_defaults=False)


MANAGER = tasks()
_server = []


def server():
    if not _server:
        _server.append(Server(FOLDER))
    return _server[0]


def evaluate(model, args, names, **more):
    """{task: (score, [answers to every request])}"""
    r = lm_eval.simple_evaluate(model=model, model_args=args, tasks=names, task_manager=MANAGER, log_samples=True,
                                bootstrap_iters=0, batch_size=4, verbosity="ERROR", **more)
    out = {}
    for name in names:
        score = next(v for k, v in r["results"][name].items() if k.split(",")[0] in ("acc", "exact_match"))
        samples = sorted(r["samples"][name], key=lambda s: s["doc_id"])
        out[name] = score, [s["resps"] for s in samples]
    return out


def by_server(path="completions", **args):
    return {"base_url": f"{server().url}/v1/{path}", "model": "homeworld", "num_concurrent": 2, "max_length": 256, **args}


BOTH = ["homeworld_rank", "homeworld_say"]
HF = {"pretrained": FOLDER, "dtype": "float32", "max_length": 255}
_want = {}


def want():
    if not _want:
        _want.update(evaluate("hf", HF, BOTH, device="cpu"))
    return _want


def flat(x):
    return [y for one in x for y in flat(one)] if isinstance(x, list) else [x]


def same(got, hf=None):
    worst = 0
    for name, (score_hf, answers_hf) in (hf or want()).items():
        score, answers = got[name]
        answers, answers_hf = flat(answers), flat(answers_hf)
        assert len(answers) == len(answers_hf) >= N
        for a, b in zip(answers, answers_hf):
            if isinstance(b, tuple):
                worst = max(worst, abs(float(a[0]) - float(b[0])))
                assert worst <= TOLERANCE and bool(a[1]) == bool(b[1]), (name, a, b)
            else:
                assert a == b, (name, a, b)
        assert score == score_hf, (name, score, score_hf)
        print(f"# {name}: {score:.3f}, {len(answers)} answers, log-likelihoods differ by at most {worst:.1e}")


@case("transformers' own scores are far from chance, so that equality says something")
def _():
    assert want()["homeworld_rank"][0] > 0.5 and want()["homeworld_say"][0] > 0.3, {k: v[0] for k, v in want().items()}


@case("local-completions with token ids: every log-likelihood, greedy flag and text")
def _():
    same(evaluate("local-completions", by_server(tokenizer=FOLDER, tokenizer_backend="huggingface"), BOTH))


@case("local-completions with the server's tokenizer, found by itself (/tokenizer_info, /tokenize, /detokenize)")
def _():
    same(evaluate("local-completions", by_server(tokenizer_backend="remote"), BOTH))


@case("local-completions with text")
def _():
    same(evaluate("local-completions", by_server(tokenizer=FOLDER, tokenizer_backend="huggingface", tokenized_requests=False), BOTH))


@case("local-chat-completions generates what transformers does with the folder's template")
def _():
    asked = {"names": ["homeworld_say"], "apply_chat_template": True}
    same(evaluate("local-chat-completions", by_server("chat/completions"), **asked), evaluate("hf", HF, device="cpu", **asked))


@case("the server stops with 0")
def _():
    assert server().stop()[0] == 0


main()
