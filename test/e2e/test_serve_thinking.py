#!/usr/bin/env python3
"""Thoughts before an answer, through the official clients of OpenAI, Anthropic and Ollama: told apart whole and streamed, in
each API's shape; switched off; cut within; before forms and calls. The model's answers are known (_successor.py). Prints TAP.

The clients live in a pinned environment, script/requirements-serve.txt (script/venv.sh serve). This script runs itself
again with that Python.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _successor  # noqa: E402
import _tiny  # noqa: E402
from _server import Server  # noqa: E402
from _tap import ROOT, Fail, case, main, tmp  # noqa: E402


def again():
    made = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "serve"], capture_output=True, text=True, timeout=500)
    if made.returncode != 0:
        print("1..1\nnot ok 1 - script/venv.sh serve")
        sys.exit("# " + made.stderr.replace("\n", "\n# "))
    os.execve(made.stdout.strip(), [made.stdout.strip(), *sys.argv], {**os.environ, "LOAM_SERVE_THINKING": "1"})


if "LOAM_SERVE_THINKING" not in os.environ:
    again()

import anthropic  # noqa: E402
import ollama  # noqa: E402
import openai  # noqa: E402

# Qwen3's way: the model opens the section, and a switch lets the template write an empty one. R1's: the template opens it.
TURNS = """{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content %}[{{ m.reasoning_content }}]{% endif %}{{ m.content }}
{% endfor %}{% if reasoning_effort %}({{ reasoning_effort }}){% endif %}{% if add_generation_prompt %}<assistant>"""
QWEN = TURNS + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
R1 = TURNS + "<think>{% endif %}"
CHAIN = [">", "<think>", "Let me ", "see. ", "</think>", "\n\n", "Noon", " it is", "</s>"]
THOUGHT, ANSWER = "Let me see.", "Noon it is"
USER = [{"role": "user", "content": "What time?"}]


def server(name, template):
    folder = os.path.join(tmp(), name)
    _successor.make_model(folder, CHAIN, template)
    return Server(folder, "--ctx", 512)


SERVERS = {"qwen": server("qwen", QWEN), "r1": server("r1", R1)}
_tiny.make_model(os.path.join(tmp(), "tiny"))
PLAIN = Server(os.path.join(tmp(), "tiny"), "--template", "plain", "--ctx", 512)


def openai_of(s):
    return openai.OpenAI(base_url=s.url + "/v1", api_key="key", max_retries=0)


def anthropic_of(s):
    return anthropic.Anthropic(base_url=s.url, api_key="key", max_retries=0)


def chat(s, **more):
    r = openai_of(s).chat.completions.create(**{"model": "", "messages": USER, "temperature": 0, **more})
    m = r.choices[0].message
    return getattr(m, "reasoning_content", None), m.content, r.choices[0].finish_reason, r.usage, m


def raises(kind, function, word):
    try:
        function()
    except kind as e:
        assert word in str(e), (word, e)
        return
    raise Fail(f"no {kind.__name__}: {word}")


@case("openai chat: reasoning_content beside content, whole and streamed, with its tokens and log probabilities")
def _():
    for name, s in SERVERS.items():
        thought, text, reason, usage, _ = chat(s, model=name)
        assert (thought, text, reason) == (THOUGHT, ANSWER, "stop"), (name, thought, text, reason)
        assert usage.completion_tokens_details.reasoning_tokens == 3 - (name == "r1"), usage
        said, thoughts, order, scored = "", "", [], 0
        for chunk in openai_of(s).chat.completions.create(model=name, messages=USER, temperature=0, logprobs=True, stream=True):
            for c in chunk.choices:
                more = getattr(c.delta, "reasoning_content", None)
                thoughts += more or ""
                said += c.delta.content or ""
                order += ["thought"] * bool(more) + ["text"] * bool(c.delta.content)
                scored += len(c.logprobs.content) if c.logprobs else 0
        assert (thoughts, said) == (THOUGHT, ANSWER) and order == sorted(order, reverse=True), (name, thoughts, said, order)
        assert scored == usage.completion_tokens, (scored, usage)


@case("switched off by the template's variable, by effort, and left in the text when asked")
def _():
    s = SERVERS["qwen"]
    for more in ({"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, {"reasoning_effort": "none"}):
        assert chat(s, model="qwen", **more)[:3] == (None, ANSWER, "stop"), more
    both = {"reasoning_effort": "none", "extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}
    assert chat(s, model="qwen", **both)[0] == THOUGHT, "what is asked for by name comes first"
    for path, body in (("/v1/chat/completions", {"messages": USER}), ("/v1/responses", {"input": "What time?"}),
                       ("/apply-template", {"messages": USER})):
        s.ok(path, {**body, "model": "qwen", "chat_template_kwargs": None})
    text = chat(s, model="qwen", extra_body={"reasoning_format": "none"})[1]
    assert text == "<think>Let me see. </think>\n\nNoon it is", text
    raises(openai.BadRequestError, lambda: chat(s, model="qwen", extra_body={"reasoning_effort": "much"}), "reasoning_effort")
    prompt = s.ok("/apply-template", {"messages": USER + [{"role": "assistant", "content": "Noon", "reasoning_content": "Hm"}] + USER})
    assert "<assistant>[Hm]Noon" in prompt["prompt"], prompt
    usage = [chat(s, model="qwen", **m)[3].prompt_tokens for m in ({}, {"reasoning_effort": "low"})]
    assert usage[1] == usage[0] + len("(low)"), usage


@case("an answer that ends within its thought: at the limit of tokens, at a stop string")
def _():
    for name, s in SERVERS.items():
        n = 2 - (name == "r1")
        assert chat(s, model=name, max_tokens=n)[:3] == ("Let me", "", "length"), name
        assert chat(s, model=name, stop=["see"])[:3] == ("Let me", "", "stop"), name
        assert chat(s, model=name, stop=["it is"])[:3] == (THOUGHT, "Noon ", "stop"), name
        r = anthropic_of(s).messages.create(model=name, messages=USER, max_tokens=n, thinking={"type": "enabled", "budget_tokens": 1024})
        assert [b.type for b in r.content] == ["thinking"] and r.content[0].thinking == "Let me" and r.stop_reason == "max_tokens"


@case("a form and a required call hold behind the thought")
def _():
    schema = {"type": "json_schema", "json_schema": {"name": "t", "schema": {"enum": ["noon", "night"]}}}
    tools = [{"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}]
    for name, s in SERVERS.items():
        thought, text, reason, _, _ = chat(s, model=name, response_format=schema)
        assert thought == THOUGHT and json.loads(text) in ("noon", "night") and reason == "stop", (name, thought, text)
        # greedily the model, which knows nothing of calls, would only write blanks
        thought, text, reason, _, m = chat(s, model=name, tools=tools, tool_choice="required", parallel_tool_calls=False, temperature=1)
        assert thought == THOUGHT and not text and reason == "tool_calls", (name, thought, text, reason)
        assert [(c.function.name, c.function.arguments) for c in m.tool_calls] == [("now", "{}")], m
        r = anthropic_of(s).messages.create(model=name, messages=USER, max_tokens=100, thinking={"type": "adaptive"}, tool_choice={"type": "any"},
                                            tools=[{"name": "now", "input_schema": {"type": "object", "properties": {}}}])
        assert r.content[0].type == "thinking" and r.content[1].type == "tool_use" and r.stop_reason == "tool_use", r
    thought, text, _, _, _ = chat(SERVERS["qwen"], model="qwen", response_format=schema, reasoning_effort="none")
    assert thought is None and json.loads(text) in ("noon", "night")


@case("anthropic: thinking blocks, whole and streamed; none unless asked for; earlier ones are taken back")
def _():
    on = {"type": "enabled", "budget_tokens": 1024}
    for name, s in SERVERS.items():
        c, ask = anthropic_of(s), dict(model=name, messages=USER, max_tokens=64)
        r = c.messages.create(**ask, thinking=on)
        assert [(b.type, getattr(b, "thinking", None) or b.text) for b in r.content] == [("thinking", THOUGHT), ("text", ANSWER)], r
        with c.messages.stream(**ask, thinking=on) as stream:
            kinds = [e.delta.type for e in stream if e.type == "content_block_delta"]
            last = stream.get_final_message()
        assert [(b.type, getattr(b, "thinking", None) or b.text) for b in last.content] == [("thinking", THOUGHT), ("text", ANSWER)], last
        assert kinds == sorted(kinds, reverse=True) and kinds[0] == "thinking_delta", kinds
        history = USER + [{"role": "assistant", "content": [b.model_dump() for b in r.content]}] + USER
        plain = USER + [{"role": "assistant", "content": ANSWER}] + USER
        n = [c.messages.count_tokens(model=name, messages=m).input_tokens for m in (history, plain)]
        assert n[0] > n[1], n
    c = anthropic_of(SERVERS["qwen"])
    for more in ({}, {"thinking": {"type": "disabled"}}):
        r = c.messages.create(model="qwen", messages=USER, max_tokens=64, **more)
        assert [(b.type, b.text) for b in r.content] == [("text", ANSWER)], r
    raises(anthropic.BadRequestError, lambda: anthropic_of(PLAIN).messages.create(model="tiny", messages=USER, max_tokens=9, thinking=on),
           "does not support thinking")


@case("ollama: the field thinking, in chat and generate, whole and streamed; think false; a model that cannot")
def _():
    for name, s in SERVERS.items():
        c = ollama.Client(host=s.url)
        for think in (True, None):
            r = c.chat(model=name, messages=USER, think=think)
            assert (r.message.thinking, r.message.content) == (THOUGHT, ANSWER), r
        parts = list(c.chat(model=name, messages=USER, think=True, stream=True))
        assert "".join(p.message.thinking or "" for p in parts) == THOUGHT and "".join(p.message.content for p in parts) == ANSWER
        g = c.generate(model=name, prompt="What time?", think=True)
        assert (g.thinking, g.response) == (THOUGHT, ANSWER), g
        parts = list(c.generate(model=name, prompt="What time?", think=True, stream=True))
        assert "".join(p.thinking or "" for p in parts) == THOUGHT and "".join(p.response for p in parts) == ANSWER
        assert "thinking" in c.show(name).capabilities
    c = ollama.Client(host=SERVERS["qwen"].url)
    r = c.chat(model="qwen", messages=USER, think=False)
    assert (r.message.thinking, r.message.content) == (None, ANSWER), r
    assert c.chat(model="qwen", messages=USER, think="low").message.thinking == THOUGHT
    raises(ollama.ResponseError, lambda: ollama.Client(host=PLAIN.url).chat(model="tiny", messages=USER, think=True), "does not support thinking")


@case("openai responses: an item of reasoning before the message, whole and streamed; it may be sent back")
def _():
    for name, s in SERVERS.items():
        c, ask = openai_of(s), dict(model=name, input="What time?", temperature=0)
        r = c.responses.create(**ask)
        assert [i.type for i in r.output] == ["reasoning", "message"] and r.output[0].content[0].text == THOUGHT, r.output
        assert r.output_text == ANSWER and r.usage.output_tokens_details.reasoning_tokens > 0
        events = list(c.responses.create(**ask, stream=True))
        assert "".join(e.delta for e in events if e.type == "response.reasoning_text.delta") == THOUGHT
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == ANSWER
        assert [i.type for i in events[-1].response.output] == ["reasoning", "message"]
        back = [{"role": "user", "content": "What time?"}, *[i.model_dump(exclude_none=True) for i in r.output], {"role": "user", "content": "And?"}]
        more = c.responses.create(model=name, input=back, temperature=0)
        less = c.responses.create(model=name, input=[i for i in back if i.get("type") != "reasoning"], temperature=0)
        assert more.output_text == ANSWER and more.usage.input_tokens > less.usage.input_tokens, (more.usage, less.usage)
    r = openai_of(SERVERS["qwen"]).responses.create(model="qwen", input="What time?", temperature=0, reasoning={"effort": "none"})
    assert [i.type for i in r.output] == ["message"] and r.output_text == ANSWER


@case("the servers stop with 0")
def _():
    for s in (*SERVERS.values(), PLAIN):
        code, err = s.stop()
        assert code == 0, err


main()
