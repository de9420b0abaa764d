#!/usr/bin/env python3
"""Tools through the official clients of OpenAI, Anthropic and Ollama: calls made by a grammar (the model knows nothing),
whole and streamed alike, in each API's shape; results sent back; what is wrong is refused. Prints TAP.

The clients live in a pinned environment, script/requirements-serve.txt (script/venv.sh serve). This script runs itself
again with that Python.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server  # noqa: E402
from _tap import ROOT, Fail, case, main, tmp  # noqa: E402


def again():
    made = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "serve"], capture_output=True, text=True, timeout=500)
    if made.returncode != 0:
        print("1..1\nnot ok 1 - script/venv.sh serve")
        sys.exit("# " + made.stderr.replace("\n", "\n# "))
    os.execve(made.stdout.strip(), [made.stdout.strip(), *sys.argv], {**os.environ, "LOAM_SERVE_TOOLS": "1"})


if "LOAM_SERVE_TOOLS" not in os.environ:
    again()

import anthropic  # noqa: E402
import ollama  # noqa: E402
import openai  # noqa: E402

# Templates of our own, in the formats of Hermes and of Llama 3.
HERMES = """{% if tools %}# tools
{% for t in tools %}{{ t | tojson }}
{% endfor %}{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"""
LLAMA = """{# <|start_header_id|> "parameters" #}{% for t in tools or [] %}{{ t | tojson }}
{% endfor %}{% for m in messages %}[{{ m.role }}] {{ m.content }}{% for c in m.tool_calls or [] %}
{"name": "{{ c.function.name }}", "parameters": {{ c.function.arguments }}}{% endfor %}
{% endfor %}"""


def model(name, template=None):
    folder = os.path.join(tmp(), name)
    _tiny.make_model(folder)
    if template:
        with open(os.path.join(folder, "chat_template.jinja"), "w") as f:
            f.write(template)
    return folder


def server(folder, *args):
    return Server(folder, *args, "--ctx", 2048)


MODELS = {"hermes": server(model("hermes", HERMES)), "llama": server(model("llama", LLAMA)),
          "plain": server(model("plain"), "--template", "plain")}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]},
                                           "days": {"type": "integer", "minimum": 1, "maximum": 9}},
          "required": ["city", "days"], "additionalProperties": False}
ABOUT = "What the weather will be"
TOOLS = [{"type": "function", "function": {"name": "weather", "description": ABOUT, "parameters": SCHEMA}},
         {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}]
FLAT = [{"type": "function", "strict": True, **t["function"]} for t in TOOLS]
BLOCKS = [{"name": t["function"]["name"], "description": ABOUT, "input_schema": t["function"]["parameters"]} for t in TOOLS]
USER = {"role": "user", "content": "The weather in Rome?"}


def valid(name, args):
    args = json.loads(args) if isinstance(args, str) else args
    if name == "now":
        assert args == {}, args
    else:
        assert name == "weather" and args["city"] in ("Rome", "Oslo") and 1 <= args["days"] <= 9 and len(args) == 2, args
    return name, args


def raises(kind, function, word):
    try:
        function()
    except kind as e:
        assert word in str(e), (word, e)
        return
    raise Fail(f"no {kind.__name__}: {word}")


def chat_stream(client, **ask):
    """The calls of a stream of chunks put together, its text and the reason of its end."""
    calls, text, reason = {}, "", None
    for chunk in client.chat.completions.create(**ask, stream=True):
        for c in chunk.choices:
            text += c.delta.content or ""
            reason = c.finish_reason or reason
            for d in c.delta.tool_calls or []:
                if d.id:
                    assert d.index == len(calls) and d.type == "function"
                    calls[d.index] = [d.id, d.function.name, ""]
                calls[d.index][2] += d.function.arguments or ""
    return [tuple(c) for _, c in sorted(calls.items())], text, reason


@case("openai chat: required and named, whole and streamed alike, for each template; ids differ, and come again")
def _():
    for name, s in MODELS.items():
        client = openai.OpenAI(base_url=s.url + "/v1", api_key="key", max_retries=0)
        for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
            seen = set()
            for seed in range(3):
                ask = dict(model=name, messages=[USER], tools=TOOLS, tool_choice=choice, max_tokens=1500, seed=seed)
                r = client.chat.completions.create(**ask).choices[0]
                assert r.finish_reason == "tool_calls" and not r.message.content, r
                calls = [(c.id, c.function.name, c.function.arguments) for c in r.message.tool_calls]
                for _, tool, args in calls:
                    valid(tool, args)
                ids = {c[0] for c in calls}
                assert len(ids) == len(calls) and not ids & seen
                seen |= ids
                assert choice == "required" or [c[1] for c in calls] == ["weather"]
                assert chat_stream(client, **ask) == (calls, "", "tool_calls")
            one = client.chat.completions.create(**ask, parallel_tool_calls=False).choices[0].message.tool_calls
            assert len(one) == 1


@case("openai chat: calls and results go back to the model as its template has them; without tools, as text")
def _():
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome", "days": 2}'}}
    talk = [USER, {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "abcdefghi", "content": "sunny"}]
    rendered = {n: s.ok("/apply-template", {"messages": talk, "tools": TOOLS})["prompt"] for n, s in MODELS.items()}
    as_json = '"arguments": {"city": "Rome", "days": 2}}'
    assert ABOUT in rendered["hermes"] and as_json in rendered["hermes"] and "<tool>sunny" in rendered["hermes"], rendered
    assert '"parameters": {"city":"Rome","days":2}}' in rendered["llama"] and "[tool] sunny" in rendered["llama"], rendered
    assert ABOUT in rendered["plain"] and "<tool_call>" in rendered["plain"], rendered
    assert "User: <tool_response>\nsunny\n</tool_response>" in rendered["plain"], rendered
    for n, s in MODELS.items():
        client = openai.OpenAI(base_url=s.url + "/v1", api_key="key", max_retries=0)
        r = client.chat.completions.create(model=n, messages=talk, tools=TOOLS, max_tokens=8)
        assert r.choices[0].message.tool_calls is None and r.choices[0].finish_reason in ("stop", "length")
        off = client.chat.completions.create(model=n, messages=[USER], tools=TOOLS, tool_choice="none", max_tokens=8)
        bare = client.chat.completions.create(model=n, messages=[USER], max_tokens=8)
        assert off.choices[0].message.content == bare.choices[0].message.content


@case("openai responses: whole and streamed alike, and the next turn")
def _():
    client = openai.OpenAI(base_url=MODELS["hermes"].url + "/v1", api_key="key", max_retries=0)
    ask = dict(model="hermes", input="The weather?", tools=FLAT, tool_choice={"type": "function", "name": "weather"})
    r = client.responses.create(**ask)
    call = r.output[0]
    assert r.status == "completed" and call.type == "function_call" and len(r.output) == 1
    valid(call.name, call.arguments)
    events = list(client.responses.create(**ask, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta") == call.arguments
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert events[-1].response.output[0].call_id == call.call_id and not any("output_text" in e.type for e in events)
    with client.responses.stream(**ask) as s:
        assert s.get_final_response().output[0].arguments == call.arguments
    again = client.responses.create(model="hermes", tools=FLAT, max_output_tokens=16, input=[
        USER, {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}])
    assert again.output[0].type == "message"


@case("anthropic: any and tool, whole and streamed alike, and the next turn")
def _():
    client = anthropic.Anthropic(base_url=MODELS["hermes"].url, api_key="key", max_retries=0)
    ask = dict(model="hermes", max_tokens=1500, messages=[USER], tools=BLOCKS, tool_choice={"type": "any"})
    r = client.messages.create(**ask)
    assert r.stop_reason == "tool_use" and all(b.type == "tool_use" for b in r.content)
    for b in r.content:
        valid(b.name, b.input)
    with client.messages.stream(**ask) as s:
        kinds = [e.type for e in s]
        last = s.get_final_message()
    assert [(b.id, b.name, b.input) for b in last.content] == [(b.id, b.name, b.input) for b in r.content]
    assert last.stop_reason == "tool_use" and kinds.count("content_block_stop") == len(r.content)
    named = client.messages.create(**{**ask, "tool_choice": {"type": "tool", "name": "weather"}})
    assert [b.name for b in named.content] == ["weather"]
    talk = [USER, {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, *[b.model_dump() for b in named.content]]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": named.content[0].id, "content": "sunny"},
                                         {"type": "text", "text": "And now?"}]}]
    r = client.messages.create(**{**ask, "messages": talk, "tool_choice": {"type": "auto"}, "max_tokens": 8})
    assert r.content[0].type == "text" and r.usage.input_tokens > 100
    n = client.messages.count_tokens(model="hermes", messages=[USER], tools=BLOCKS).input_tokens
    assert n > client.messages.count_tokens(model="hermes", messages=[USER]).input_tokens + 200


@case("ollama: tools are offered, calls and results go back")
def _():
    client = ollama.Client(host=MODELS["hermes"].url)
    assert "tools" in client.show("hermes").capabilities
    talk = [USER, {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "now", "arguments": {}}}]},
            {"role": "tool", "tool_name": "now", "content": "noon"}]
    r = client.chat(model="hermes", messages=talk, tools=TOOLS, options={"num_predict": 8})
    assert r.message.tool_calls is None and r.prompt_eval_count > 300
    assert r.prompt_eval_count > client.chat(model="hermes", messages=talk, options={"num_predict": 8}).prompt_eval_count + 200


@case("what is wrong with tools is refused, and named")
def _():
    client = openai.OpenAI(base_url=MODELS["hermes"].url + "/v1", api_key="key", max_retries=0)

    def ask(word, **more):
        raises(openai.BadRequestError, lambda: client.chat.completions.create(
            model="hermes", messages=more.pop("messages", [USER]), max_tokens=4, **more), word)

    ask("tools[0]", tools=[{"type": "web_search"}])
    ask("name", tools=[{"type": "function", "function": {"name": "a b"}}])
    ask("two tools", tools=[TOOLS[0], TOOLS[0]])
    ask("no tools", tool_choice="required")
    ask("no tool is called", tools=TOOLS, tool_choice={"type": "function", "function": {"name": "king"}})
    ask("is not known", tools=TOOLS, tool_choice="perhaps")
    ask('tool "f"', tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "king"}}}],
        tool_choice="required")
    ask("form", tools=TOOLS, tool_choice="required", response_format={"type": "json_object"})
    ask("arguments", messages=[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}])
    # A schema that no grammar can be made of fails only those who ask for one.
    odd = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "not": {}}}}]
    assert client.chat.completions.create(model="hermes", messages=[USER], tools=odd, max_tokens=4).usage


@case("the servers stop with 0")
def _():
    for s in MODELS.values():
        code, err = s.stop()
        assert code == 0, err


main()
