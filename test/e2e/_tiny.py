"""A tiny model for end-to-end tests: random weights of test/golden/models, a tokenizer of single bytes made here, so that
every request takes milliseconds. No chat template: --template plain or gemma gives one."""
import json
import os
import shutil

from _tap import ROOT

VOCAB = 160
CONTROL = ["<s>", "</s>", "<start_of_turn>", "<end_of_turn>"]


def byte_character(b):
    """The printable character that stands for a byte in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(b) if b in plain else chr(256 + sum(1 for x in range(b) if x not in plain))


def make_model(folder, family="llama"):
    shutil.copytree(os.path.join(ROOT, "test/golden/models", family), folder)
    some = [10, *range(32, 127), 0xC3, 0xC2, *range(0x80, 0x80 + VOCAB - len(CONTROL) - 98)]
    vocab = {byte_character(b): i + len(CONTROL) for i, b in enumerate(some)}
    vocab.update({c: i for i, c in enumerate(CONTROL)})
    assert len(vocab) == VOCAB
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    bos = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [dict(id=i, content=c, single_word=False, lstrip=False, rstrip=False, normalized=False,
                              special=True) for i, c in enumerate(CONTROL)],
        "normalizer": None, "pre_tokenizer": level, "decoder": level,
        "post_processor": {"type": "TemplateProcessing", "single": bos,
                           "pair": bos + [{"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []},
    }
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump(tokenizer, f)
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}, f)
