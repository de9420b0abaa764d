"""Makes test/golden/embed.json: what sentence-transformers makes of tiny models, for test/e2e/test_embed.py.

    $(script/venv.sh golden) test/golden/embed.py

"files": for each way of pooling, the files that SentenceTransformer.save() writes beside a model, whose contents say how
it pools; "vectors": its encode() of "texts" with the model of test/e2e/_tiny.py, not normalised. "families": the last
hidden state of transformers' model, at the last of "ids" and as the mean, of each family in test/golden/models.
"""
import json
import os
import shutil
import sys
import tempfile
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from transformers import AutoModel

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import _tiny  # noqa: E402

MODES = ["lasttoken", "mean", "cls", "max", "weightedmean", "mean_sqrt_len_tokens"]
TEXTS = ["The sea", "x", "A longer text, with commas and café. " * 4]
FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "olmo2", "olmo3", "smollm3", "phi3-plain", "granite"]
IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 35, 89, 79, 32, 38, 46]


def numbers(tensor):
    return [float("%.8g" % x) for x in tensor.tolist()]


def pooled(folder, mode, normalize):
    """(files that say how the model pools, vectors)"""
    transformer = modules.Transformer(folder, model_kwargs={"dtype": torch.float32})
    transformer.tokenizer.pad_token = transformer.tokenizer.eos_token
    parts = [transformer, modules.Pooling(transformer.get_embedding_dimension(), pooling_mode=mode)]
    model = SentenceTransformer(modules=parts + ([modules.Normalize()] if normalize else []), device="cpu")
    out = os.path.join(folder, "saved")
    model.save(out)
    files = {}
    for name in ["modules.json", *(os.path.join(d, "config.json") for d in os.listdir(out) if d[0].isdigit())]:
        if os.path.exists(os.path.join(out, name)):
            with open(os.path.join(out, name)) as f:
                files[name] = f.read()
    shutil.rmtree(out)
    return files, [numbers(v) for v in model.encode(TEXTS, convert_to_tensor=True)]


def main():
    out = {"texts": TEXTS, "ids": IDS, "files": {}, "vectors": {}, "families": {}}
    with tempfile.TemporaryDirectory() as tmp:
        folder = os.path.join(tmp, "tiny")
        _tiny.make_model(folder)
        for mode in MODES:
            out["files"][mode], out["vectors"][mode] = pooled(folder, mode, mode == "lasttoken")
    for family in FAMILIES:
        model = AutoModel.from_pretrained(os.path.join(HERE, "models", family), dtype=torch.float32,
                                          attn_implementation="eager").eval()
        with torch.no_grad():
            h = model(torch.tensor([IDS])).last_hidden_state[0]
        out["families"][family] = {"lasttoken": numbers(h[-1]), "mean": numbers(h.mean(0))}
    with open(os.path.join(HERE, "embed.json"), "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")


main()
