#!/usr/bin/env python3
"""A real instruction model (Qwen2.5-Coder 0.5B Instruct, Q4_K_M, 491 MB) uses tools through loam serve and OpenAI's client:
left to itself (auto), made to call (required), told what its call gave, and asked what needs none. Prints what it says, and fails when the
counts are not those of doc/structured.md.

    make tools          fetches the model; not in CI
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "e2e"))


def output_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")[-2]


if "LOAM_TOOLS" not in os.environ:
    python = output_of(os.path.join(ROOT, "script", "venv.sh"), "serve")
    os.execve(python, [python, *sys.argv], {**os.environ, "LOAM_TOOLS": "1"})

import openai  # noqa: E402
from _server import Server  # noqa: E402


def tool(name, about, **properties):
    return {"type": "function", "function": {"name": name, "description": about, "parameters": {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}}}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
TOOLS = [tool("get_weather", "The weather in a city now", city={**TEXT, "description": "The name of the city"}),
         tool("set_timer", "Start a timer that rings", minutes={**NUMBER, "description": "How many minutes", "minimum": 1, "maximum": 600}),
         tool("convert_money", "Convert an amount of money to another currency", amount=NUMBER,
              currency={"type": "string", "enum": ["EUR", "USD", "JPY"]})]
QUESTIONS = [("What is the weather in Paris?", "get_weather", {"city": "Paris"}),
             ("Is it raining in Oslo right now?", "get_weather", {"city": "Oslo"}),
             ("How warm is it in Nairobi today?", "get_weather", {"city": "Nairobi"}),
             ("Tell me the weather in Tokyo.", "get_weather", {"city": "Tokyo"}),
             ("Set a timer for 5 minutes.", "set_timer", {"minutes": 5}),
             ("Wake me up in 45 minutes, please.", "set_timer", {"minutes": 45}),
             ("I put eggs on the stove, remind me in 7 minutes.", "set_timer", {"minutes": 7}),
             ("Start a timer of 90 minutes.", "set_timer", {"minutes": 90}),
             ("Convert 100 to EUR.", "convert_money", {"amount": 100, "currency": "EUR"}),
             ("How much is 250 in JPY?", "convert_money", {"amount": 250, "currency": "JPY"}),
             ("I need 20 in USD, please convert.", "convert_money", {"amount": 20, "currency": "USD"}),
             ("Change an amount of 75 into EUR.", "convert_money", {"amount": 75, "currency": "EUR"})]
PLAIN = ["Say hello.", "Name a colour.", "What is 2 plus 2?", "Write a short sentence about cats."]
RESULT = {"get_weather": '{"temperature": 17, "sky": "clear"}', "set_timer": '{"started": true}', "convert_money": '{"result": 321}'}
# The same bits give the same counts everywhere.
WANT = {"auto: a call": 12, "auto: the right one": 12, "required: valid": 12, "required: the right one": 12, "no call where none is needed": 3}


def ask(client, question, choice, history=()):
    messages = [{"role": "user", "content": question}, *history]
    return client.chat.completions.create(model=client.models.list().data[0].id, messages=messages, tools=TOOLS, tool_choice=choice, temperature=0, max_tokens=120,
                                          parallel_tool_calls=False).choices[0].message


def fits(x, p):
    if p["type"] == "string":
        return isinstance(x, str) and x in p.get("enum", [x])
    return type(x) is int and p.get("minimum", x) <= x <= p.get("maximum", x)


def valid(call):
    """By the schema of its tool."""
    properties = next(t["function"]["parameters"]["properties"] for t in TOOLS if t["function"]["name"] == call.function.name)
    args = json.loads(call.function.arguments)
    return set(args) == set(properties) and all(fits(args[k], p) for k, p in properties.items())


def main():
    path = output_of(sys.executable, os.path.join(ROOT, "script", "fetch-model.py"), "qwen2.5-coder")
    server = Server(path, "--ctx", 2048)
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="key", max_retries=0, timeout=600)
    n = dict.fromkeys(WANT, 0)
    for question, name, args in QUESTIONS:
        for choice in ("auto", "required"):
            m = ask(client, question, choice)
            call = m.tool_calls[0] if m.tool_calls else None
            right = bool(call) and call.function.name == name and json.loads(call.function.arguments) == args
            said = call.function.name + " " + " ".join(call.function.arguments.split()) if call else repr(m.content[:70])
            print(f"{choice:8} {question:50} {said}")
            n[choice + ": the right one"] += right
            if choice == "auto":
                n["auto: a call"] += bool(call)
                continue
            n["required: valid"] += bool(call) and valid(call)
            gave = RESULT[call.function.name]
            answer = ask(client, question, "none", [m.model_dump(exclude_none=True),
                                                    {"role": "tool", "tool_call_id": call.id, "content": gave}]).content or ""
            print(f"{'':8} {gave:50} {answer[:90]!r}")
    for question in PLAIN:
        m = ask(client, question, "auto")
        n["no call where none is needed"] += not m.tool_calls
        print(f"{'auto':8} {question:50} {(m.content or str(m.tool_calls))[:70]!r}")
    code, err = server.stop()
    for what, got in n.items():
        print(f"{what:30} {got:3} of {len(PLAIN) if 'none' in what else len(QUESTIONS)}")
    assert code == 0, err
    sys.exit(0 if n == WANT else f"not what doc/structured.md says: {WANT}")


main()
