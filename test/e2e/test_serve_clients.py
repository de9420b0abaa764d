#!/usr/bin/env python3
"""loam serve through the official Python clients of OpenAI, Anthropic and Ollama. Prints TAP.

They live in a pinned environment, script/requirements-serve.txt, which script/venv.sh serve makes once; when it cannot,
these tests fail. This script runs itself again with that Python.
"""
import array
import os
import subprocess
import sys
import typing

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server  # noqa: E402
from _tap import ROOT, Fail, case, main, tmp  # noqa: E402

MODEL = os.path.join(tmp(), "tiny")
MESSAGES = [{"role": "user", "content": "Tell me of the sea"}]


def again():
    """With the pinned clients."""
    made = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "serve"], capture_output=True, text=True, timeout=500)
    if made.returncode != 0:
        print("1..1\nnot ok 1 - script/venv.sh serve")
        sys.exit("# " + made.stderr.replace("\n", "\n# "))
    os.execve(made.stdout.strip(), [made.stdout.strip(), *sys.argv], {**os.environ, "LOAM_SERVE_CLIENTS": "1"})


if "LOAM_SERVE_CLIENTS" not in os.environ:
    again()

import anthropic  # noqa: E402
import ollama  # noqa: E402
import openai  # noqa: E402
import pydantic  # noqa: E402

_tiny.make_model(MODEL)
SERVER = Server(MODEL, "--template", "plain", "--ctx", 512, env={"LOAM_TOKEN": "key"})
OPENAI = openai.OpenAI(base_url=SERVER.url + "/v1", api_key="key", max_retries=0)
ANTHROPIC = anthropic.Anthropic(base_url=SERVER.url, api_key="key", max_retries=0)
OLLAMA = ollama.Client(host=SERVER.url, headers={"Authorization": "Bearer key"})


def raises(kind, function, word):
    try:
        function()
    except kind as e:
        assert word in str(e), (word, e)
        return e
    raise Fail(f"no {kind.__name__}")


@case("openai: models, chat whole and streamed, n, log probabilities, usage")
def _():
    assert [m.id for m in OPENAI.models.list()] == ["tiny"] and OPENAI.models.retrieve("tiny").id == "tiny"
    ask = dict(model="tiny", messages=MESSAGES, max_tokens=16, temperature=1, seed=4)
    r = OPENAI.chat.completions.create(**ask, logprobs=True, top_logprobs=3, n=2)
    assert len(r.choices) == 2 and r.choices[0].message.role == "assistant"
    assert r.choices[0].finish_reason in ("stop", "length") and len(r.choices[0].logprobs.content[0].top_logprobs) == 3
    assert r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens
    text, usage, reason = "", None, None
    for chunk in OPENAI.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for c in chunk.choices:
            text += c.delta.content or ""
            reason = c.finish_reason or reason
    assert text == r.choices[0].message.content and reason == r.choices[0].finish_reason
    assert usage.prompt_tokens == r.usage.prompt_tokens


@case("openai: completions with echo and log probabilities, streamed; responses whole and streamed")
def _():
    r = OPENAI.completions.create(model="tiny", prompt=[[0, 60, 70]], max_tokens=1, echo=True, logprobs=2, temperature=0)
    assert len(r.choices[0].logprobs.token_logprobs) == 4 and len(r.choices[0].logprobs.top_logprobs[1]) == 2
    ask = dict(model="tiny", prompt="The sea", max_tokens=16, temperature=0)
    whole = OPENAI.completions.create(**ask).choices[0].text
    assert "".join(c.choices[0].text for c in OPENAI.completions.create(**ask, stream=True)) == whole
    ask = dict(model="tiny", input="Hello", instructions="Be brief", max_output_tokens=16, temperature=0)
    r = OPENAI.responses.create(**ask)
    assert r.status in ("completed", "incomplete") and r.usage.output_tokens <= 16
    events = list(OPENAI.responses.create(**ask, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == r.output_text
    assert events[0].type == "response.created" and events[-1].response.output_text == r.output_text
    assert [e.sequence_number for e in events] == list(range(len(events)))
    with OPENAI.responses.stream(**ask) as s:
        assert s.get_final_response().output_text == r.output_text if r.status == "completed" else True


@case("openai: errors are the client's own exceptions")
def _():
    ask = dict(model="tiny", messages=MESSAGES)
    raises(openai.NotFoundError, lambda: OPENAI.chat.completions.create(model="other", messages=MESSAGES), "other")
    raises(openai.BadRequestError, lambda: OPENAI.chat.completions.create(**ask, temperature=-1), "temperature")
    e = raises(openai.BadRequestError, lambda: OPENAI.completions.create(model="tiny", prompt="x" * 600), "context holds")
    assert e.code == "context_length_exceeded"
    raises(openai.BadRequestError, lambda: OPENAI.embeddings.create(model="tiny", input="x", dimensions=999), "dimensions")
    wrong = openai.OpenAI(base_url=SERVER.url + "/v1", api_key="wrong", max_retries=0)
    raises(openai.AuthenticationError, lambda: wrong.models.list(), "token")


@case("openai: a stream that is closed early ends its request")
def _():
    s = OPENAI.completions.create(model="tiny", prompt="x", max_tokens=500, stream=True, extra_body={"ignore_eos": True})
    next(iter(s))
    s.close()
    alive = OPENAI.completions.create(model="tiny", prompt="x", max_tokens=1)
    assert alive.usage.completion_tokens == 1


@case("anthropic: messages whole and streamed, stop sequences, counting, models, errors")
def _():
    ask = dict(model="tiny", messages=MESSAGES, system="Be brief", max_tokens=24, extra_body={"temperature": 0})
    r = ANTHROPIC.messages.create(**ask)
    assert r.role == "assistant" and r.stop_reason in ("end_turn", "max_tokens") and r.usage.output_tokens <= 24
    text = r.content[0].text
    with ANTHROPIC.messages.stream(**ask) as s:
        assert "".join(s.text_stream) == text
        last = s.get_final_message()
    assert last.stop_reason == r.stop_reason and last.usage.output_tokens == r.usage.output_tokens
    count = ANTHROPIC.messages.count_tokens(model="tiny", messages=MESSAGES, system="Be brief").input_tokens
    assert count == r.usage.input_tokens + r.usage.cache_read_input_tokens
    stop = next(c for i, c in enumerate(text) if i > 1 and c.isascii() and text.find(c) == i)
    cut = ANTHROPIC.messages.create(**ask, stop_sequences=["\x01never", stop])
    assert cut.stop_reason == "stop_sequence" and cut.stop_sequence == stop and cut.content[0].text == text[:text.find(stop)]
    assert [m.id for m in ANTHROPIC.models.list()] == ["tiny"]
    raises(anthropic.NotFoundError, lambda: ANTHROPIC.messages.create(**{**ask, "model": "other"}), "other")
    raises(anthropic.BadRequestError, lambda: ANTHROPIC.messages.create(**{**ask, "extra_body": {"temperature": 500}}), "temperature")
    wrong = anthropic.Anthropic(base_url=SERVER.url, api_key="wrong", max_retries=0)
    raises(anthropic.AuthenticationError, lambda: wrong.messages.create(**ask), "token")


class Item(pydantic.BaseModel):
    kind: typing.Literal["fruit", "tool"]
    count: int = pydantic.Field(ge=0, le=99)
    name: str = pydantic.Field(max_length=12)
    tags: list[str] = pydantic.Field(max_length=3)
    next: typing.Optional["Item"] = None


class Pair(pydantic.BaseModel):  # no text: the model would fill a limit with it
    first: typing.Literal["fruit", "tool"]
    second: typing.Union[int, None]
    third: list[bool]


@case("structured answers: each client parses them into pydantic's types, whole and streamed; errors are its own")
def _():
    ask = dict(model="tiny", messages=MESSAGES, temperature=1, seed=2)
    r = OPENAI.chat.completions.parse(**ask, response_format=Item, max_completion_tokens=400)
    assert isinstance(r.choices[0].message.parsed, Item), r.choices[0].message.content
    with OPENAI.chat.completions.stream(**ask, response_format=Item) as s:
        for _ in s:
            pass
        assert s.get_final_completion().choices[0].message.parsed == r.choices[0].message.parsed
    r = OPENAI.responses.parse(model="tiny", input="Hello", text_format=Pair, temperature=1)
    assert isinstance(r.output_parsed, Pair), r.output_text
    r = ANTHROPIC.messages.parse(model="tiny", messages=MESSAGES, max_tokens=400, output_format=Pair)
    assert isinstance(r.parsed_output, Pair), r
    with ANTHROPIC.messages.stream(model="tiny", messages=MESSAGES, max_tokens=400, output_format=Pair) as s:
        assert Pair.model_validate_json("".join(s.text_stream)) == s.get_final_message().parsed_output
    r = OLLAMA.chat(model="tiny", messages=MESSAGES, format=Item.model_json_schema(), options={"seed": 3})
    Item.model_validate_json(r.message.content)
    text = "".join(x.response for x in OLLAMA.generate(model="tiny", prompt="x", format=Item.model_json_schema(), stream=True))
    Item.model_validate_json(text)
    bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "contentSchema": {}}}}
    raises(openai.BadRequestError, lambda: OPENAI.chat.completions.create(**ask, response_format=bad), "schema at #/contentSchema")
    raises(anthropic.BadRequestError, lambda: ANTHROPIC.messages.create(
        model="tiny", messages=MESSAGES, max_tokens=9, output_config={"format": {"type": "json_schema", "schema": {"not": {}}}}),
        "schema at #/not")
    assert raises(ollama.ResponseError, lambda: OLLAMA.chat(model="tiny", messages=MESSAGES, format={"not": {}}),
                  "#/not").status_code == 400


@case("ollama: list, ps, show, chat and generate whole and streamed, errors")
def _():
    assert OLLAMA.list().models[0].model == "tiny" and OLLAMA.ps().models[0].model == "tiny"
    assert OLLAMA.show("tiny").details.family == "llama"
    options = {"temperature": 0, "num_predict": 16}
    r = OLLAMA.chat(model="tiny", messages=MESSAGES, options=options)
    assert r.done and r.eval_count <= 16 and r.prompt_eval_count > 0
    assert "".join(x.message.content for x in OLLAMA.chat(model="tiny", messages=MESSAGES, options=options, stream=True)) == \
        r.message.content
    g = OLLAMA.generate(model="tiny", prompt="The sea", raw=True, options=options)
    assert "".join(x.response for x in OLLAMA.generate(model="tiny", prompt="The sea", raw=True, options=options,
                                                       stream=True)) == g.response
    assert g.response == OPENAI.completions.create(model="tiny", prompt="The sea", max_tokens=16, temperature=0).choices[0].text
    assert OLLAMA.generate(model="tiny").done_reason == "load"
    assert raises(ollama.ResponseError, lambda: OLLAMA.chat(model="other", messages=MESSAGES), "other").status_code == 404
    assert raises(ollama.ResponseError, lambda: OLLAMA.embed(model="other", input="x"), "other").status_code == 404


@case("embeddings by OpenAI's client, which asks for base64 unless told otherwise, and by Ollama's")
def _():
    r = OPENAI.embeddings.create(model="tiny", input=["The sea", "x"])
    floats = OPENAI.embeddings.create(model="tiny", input=["The sea", "x"], encoding_format="float")
    assert [array.array("f", d.embedding) for d in r.data] == [array.array("f", d.embedding) for d in floats.data]
    assert r.usage.total_tokens == 10
    assert len(OPENAI.embeddings.create(model="tiny", input="x", dimensions=7).data[0].embedding) == 7
    ours = OLLAMA.embed(model="tiny", input=["The sea", "x"])
    assert [list(v) for v in ours.embeddings] == [d.embedding for d in floats.data] and ours.prompt_eval_count == 10
    assert list(OLLAMA.embeddings(model="tiny", prompt="x").embedding) == floats.data[1].embedding


@case("the server stops with 0")
def _():
    code, err = SERVER.stop()
    assert code == 0, err


main()
