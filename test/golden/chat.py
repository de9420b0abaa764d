"""Makes test/golden/chat.json: conversations, their ids and which of them assistants said, by transformers.

    python test/golden/chat.py                        (script/venv.sh golden)
    python test/golden/chat.py --trl FOLDER OUT.json   the same of a checkout of trl's chat_templates: X.jinja against
                                                       X_training.jinja; then: build/test/unit/test_chat_golden OUT.json

Each template is written with {% generation %} around what an assistant says, so that apply_chat_template() can give
return_assistant_tokens_mask; and without, as models publish theirs. Loam must give the same ids and the same mask for both: by the
blocks, and by what it finds out from renderings. The templates are ours, in the manner of those of SmolLM2, Llama 3, Gemma 3, Qwen 3
and Mistral.
"""
import glob
import json
import os
import re
import sys

from transformers import PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
G, E = "{% generation %}", "{% endgeneration %}"
TAG = re.compile(r"\{%-? *(end)?generation *-?%\}")

TEMPLATES = {
    "smollm": ["smollm", "olmo2", "qwen2"],
    "header": ["llama3"],
    "turns": ["gemma"],
    "thinks": ["qwen2"],
    "inst": ["llama2", "tekken"],
    "marks": ["phi3"],
}
# <|assistant|> swallows the blanks with which an answer begins; transformers has it learned then, Loam has not.
LEFT_OUT = {("phi3", 2)}
SOURCE = {
    "smollm": "{% for m in messages %}{% if loop.first and m.role != 'system' %}{{ '<|im_start|>system\\nBe of help.<|im_end|>\\n' }}{% endif %}"
              "{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}" + G + "{{ m.content + '<|im_end|>' }}" + E +
              "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "header": "{{ bos_token }}{% if messages[0].role == 'system' %}{% set sys = messages[0].content | trim %}{% set messages = messages[1:] %}{% else %}{% set sys = '' %}{% endif %}"
              "{{ '<|start_header_id|>system<|end_header_id|>\\n\\nToday: 1 May 2025\\n\\n' + sys + '<|eot_id|>' }}"
              "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}"
              "{% if m.role == 'assistant' %}" + G + "{{ (m.content | trim) + '<|eot_id|>' }}" + E + "{% else %}{{ (m.content | trim) + '<|eot_id|>' }}{% endif %}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    "turns": "{{ bos_token }}{% if messages[0].role == 'system' %}{% set pre = messages[0].content + '\\n\\n' %}{% set all = messages[1:] %}{% else %}{% set pre = '' %}{% set all = messages %}{% endif %}"
             "{% for m in all %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}"
             "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + (pre if loop.first else '') }}"
             "{% if m.role == 'assistant' %}" + G + "{{ (m.content | trim) + '<end_of_turn>' }}" + E + "{% else %}{{ (m.content | trim) + '<end_of_turn>' }}{% endif %}{{ '\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    "thinks": "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
              "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}{% set c = m.content %}{% set why = '' %}"
              "{% if '</think>' in c %}{% set why = c.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
              + G + "{% if loop.index0 > ns.last and (loop.last or why) %}{{ '<think>\\n' + why.strip('\\n') + '\\n</think>\\n\\n' + c.lstrip('\\n') }}{% else %}{{ c }}{% endif %}{{ '<|im_end|>' }}" + E +
              "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "inst": "{{ bos_token }}{% if messages[0].role == 'system' %}{% set sys = messages[0].content + '\\n\\n' %}{% set rest = messages[1:] %}{% else %}{% set sys = '' %}{% set rest = messages %}{% endif %}"
            "{% for m in rest %}{% if m.role == 'user' %}{{ '[INST] ' + (sys if loop.first else '') + m.content + ' [/INST]' }}{% else %}" + G + "{{ ' ' + (m.content | trim) + eos_token }}" + E + "{% endif %}{% endfor %}",
    "marks": "{% for m in messages %}{{ '<|' + m.role + '|>\\n' }}{% if m.role == 'assistant' %}" + G + "{{ m.content + '<|end|>' }}" + E + "{% else %}{{ m.content + '<|end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
}
BOS = {"llama3": "<|begin_of_text|>", "gemma": "<bos>", "llama2": "<s>", "tekken": "<s>", "phi3": "<s>"}
EOS = {"llama3": "<|eot_id|>", "gemma": "<eos>", "llama2": "</s>", "tekken": "</s>", "smollm": "<|im_end|>", "qwen2": "<|im_end|>", "olmo2": "<|im_end|>", "phi3": "<|endoftext|>"}

ENDS = set(EOS.values()) | {"<end_of_turn>", "<|end|>"}


def talk(*texts, system=None):
    head = [{"role": "system", "content": system}] if system else []
    return head + [{"role": "user" if i % 2 == 0 else "assistant", "content": t} for i, t in enumerate(texts)]


TALKS = [
    talk("Hello", "Hello to you."),
    talk("What is 3 + 4?", "7", "And 10 + 11?", "21", "100?", "One hundred.", system="Answer briefly."),
    talk(" spaces ", "  around this  ", "\nline\n", "\n\nlines\n\n"),
    talk("Grüße, 世界 🙂", "Ça va? 日本語テキスト 👍🏽", "é e\u0301", "naïve e\u0301 \u212b"),
    talk("code", "```c\nint main(void) {\n\treturn 0;\n}\n```", "and now?", "<b>done</b> & so on"),
    talk("think", "<think>\nfirst this\n</think>\n\nThen that.", "again", "<think>\nonce more\n</think>\n\nAnd this."),
    talk("the same", "the same", "the same", "the same"),
    talk("a", "user", "assistant", "model"),
    talk("one", "Yes", "two", "Yes.", system="Be kind."),
]


def tokenizer(name):
    return PreTrainedTokenizerFast(tokenizer_file=os.path.join(HERE, "tok", name + ".json"), bos_token=BOS.get(name), eos_token=EOS[name])


def render(tok, template, messages):
    return tok.apply_chat_template(messages, chat_template=template, tokenize=False)


def case(name, tok, template, messages):
    out = tok.apply_chat_template(messages, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = out["input_ids"], out["assistant_masks"]
    return {"tok": name, "messages": messages, "ids": ids, "mask": "".join(map(str, mask))}


def said(tok, template, c):
    """The mask without what Loam does not have learned and trl's templates do: what is blank behind an end token, and the words that
    open a turn, which the generation prompt gives the model."""
    mask, texts = list(c["mask"]), [tok.decode([i]) for i in c["ids"]]
    for i in range(len(mask)):
        if mask[i] == "1" and texts[i].strip() == "" and (i + 1 == len(mask) or mask[i + 1] == "0") and texts[i - 1] in ENDS:
            mask[i] = "0"
    whole = render(tok, template, c["messages"])
    offsets = tok(whole, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for k, m in enumerate(c["messages"]):
        if m["role"] != "assistant":
            continue
        base = render(tok, template, c["messages"][:k])
        opened = tok.apply_chat_template(c["messages"][:k], chat_template=template, tokenize=False, add_generation_prompt=True)
        n = len(os.path.commonprefix([whole, opened])) if whole.startswith(base) else 0
        for i, (_, to) in enumerate(offsets):
            if len(base) < to <= n:
                mask[i] = "0"
    return "".join(mask)


def write(path, templates, cases):
    with open(path, "w", encoding="utf-8") as f:
        toks = {t: {"bos_token": BOS.get(t), "eos_token": EOS[t]} for t in sorted({c["tok"] for c in cases})}
        f.write('{"toks": ' + json.dumps(toks, ensure_ascii=False) + ',\n"templates": [\n' + ",\n".join(json.dumps(t) for t in templates) + '\n],\n"cases": [\n')
        f.write(",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]}\n")
    print(len(cases), "cases,", sum("1" in c["mask"] for c in cases), "with something learned")


def ours():
    templates, cases = [], []
    for name, toks in TEMPLATES.items():
        templates.append([SOURCE[name], TAG.sub("", SOURCE[name])])
        for t in toks:
            tok = tokenizer(t)
            for i, messages in enumerate(TALKS):
                if (t, i) in LEFT_OUT:
                    continue
                assert render(tok, templates[-1][0], messages) == render(tok, templates[-1][1], messages)
                cases.append({"template": len(templates) - 1, **case(t, tok, SOURCE[name], messages)})
    write(os.path.join(HERE, "chat.json"), templates, cases)


def trl(folder, out):
    """Where X.jinja and X_training.jinja write the same text. A conversation that one of them refuses is left out."""
    templates, cases, other = [], [], 0
    for path in sorted(glob.glob(os.path.join(folder, "*_training.jinja"))):
        plain = path.replace("_training", "")
        name = os.path.basename(plain)
        t = next((t for word, t in (("gemma", "gemma"), ("llama", "llama3"), ("qwen", "qwen2"), ("phi", "phi3"), ("deepseek", "deepseek-v3"), ("lfm", "olmo2"), ("nemotron", "qwen2")) if word in name), None)
        if t is None or not os.path.exists(plain):
            print(name, "left out: no tokenizer here has its tokens")
            continue
        BOS.update({"deepseek-v3": "<｜begin▁of▁sentence｜>", "olmo2": "<|endoftext|>"})
        EOS.update({"deepseek-v3": "<｜end▁of▁sentence｜>"})
        tok = tokenizer(t)
        templates.append([open(path).read(), open(plain).read()])
        before = len(cases)
        for messages in TALKS:
            try:
                texts = [render(tok, x, messages) for x in templates[-1]]
            except Exception as e:
                print(name, "refuses:", str(e)[:80])
                continue
            if texts[0] != texts[1]:
                other += 1
                continue
            c = case(t, tok, templates[-1][0], messages)
            cases.append({"template": len(templates) - 1, "name": name, "mask_without": said(tok, templates[-1][1], c), **c})
        print(name, t, len(cases) - before, "cases")
    print(other, "conversations that the two write differently")
    write(out, templates, cases)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--trl":
        trl(sys.argv[2], sys.argv[3])
    else:
        ours()
