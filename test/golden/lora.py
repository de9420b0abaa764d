#!/usr/bin/env python3
"""Makes test/golden/lora: small adapters of the golden models as peft writes them, and what peft and llama.cpp say.

    $(script/venv.sh lm-eval) test/golden/lora.py          # peft: adapters and lora.json
    python3 test/golden/lora.py --peer                     # adds what llama.cpp computes with the GGUF forms (make peer)

lora.json: {"ids": [..], "cases": {folder: {"model", "logits": of the last position}}, "combined": {name: {"model",
"adapters", "weights", "combination_type", "density", "logits"}}, "llama.cpp": {folder: {"model", "logits"}}}. Logits are those of transformers
with peft, float32, eager attention, of all weights in float32. The GGUF forms are written here, as llama.cpp's converter
writes them, and are not kept. Fails if an adapter moves the logits by less than 1 %.
"""
import ctypes
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUT, MODELS = os.path.join(HERE, "lora"), os.path.join(HERE, "models")
sys.path.insert(0, HERE)
import gguf_convert  # noqa: E402

IDS = [(17 * i * i + 5 * i + 3) % 150 + 2 for i in range(24)]
# folder: (model, LoraConfig's arguments, type of the file's numbers)
CASES = {
    "llama": ("llama", dict(r=2, lora_alpha=5, target_modules="all-linear"), "float32"),
    "llama-other": ("llama", dict(r=2, lora_alpha=3, target_modules=["q_proj", "up_proj"]), "float32"),
    "qwen2-rslora": ("qwen2", dict(r=3, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"],
                                   layers_to_transform=[0, 2]), "bfloat16"),
    "qwen2-dora": ("qwen2", dict(r=2, lora_alpha=6, use_dora=True, target_modules=["k_proj", "o_proj"]), "float32"),
    "gemma3": ("gemma3", dict(r=2, lora_alpha=4, target_modules=["q_proj", "gate_proj"], rank_pattern={"q_proj": 3},
                              alpha_pattern={"layers.0.mlp.gate_proj": 9}), "float16"),
    "phi3": ("phi3-plain", dict(r=2, lora_alpha=3, target_modules=["qkv_proj", "gate_up_proj", "down_proj"]), "float32"),
}
COMBINED = {
    "linear": dict(weights=[0.7, -0.4], combination_type="linear"),
    "ties": dict(weights=[0.7, 0.9], combination_type="ties", density=0.5),
}
PEER = {"llama": "llama", "llama-other": "llama", "phi3": "phi3-short"}  # whose GGUF forms say the same


# ---- peft ----

def make_adapters():
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    def base(name):
        return AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, name), dtype=torch.float32,
                                                    attn_implementation="eager").eval()

    @torch.no_grad()
    def logits(model):
        return [float("%.9g" % x) for x in model(torch.tensor([IDS]), use_cache=False).logits[0, -1].float()]

    def case(i, folder):
        name, config, kind = CASES[folder]
        path, rng = os.path.join(OUT, folder), torch.Generator().manual_seed(100 + i)
        model = get_peft_model(base(name), LoraConfig(task_type="CAUSAL_LM", **config))
        for key, p in sorted(model.named_parameters()):
            if "lora_" in key:
                wide = torch.randn(p.shape, generator=rng)
                p.data = p.data * (1 + 0.2 * wide) if "magnitude" in key else wide * (0.25 if "lora_A" in key else 0.3)
        model.save_pretrained(path)
        file = os.path.join(path, "adapter_model.safetensors")
        save_file({k: v.to(getattr(torch, kind)) for k, v in load_file(file).items()}, file, {"format": "pt"})
        os.remove(os.path.join(path, "README.md"))
        text = open(os.path.join(path, "adapter_config.json")).read().replace(MODELS, "models")
        open(os.path.join(path, "adapter_config.json"), "w").write(text)
        plain, model = logits(base(name)), PeftModel.from_pretrained(base(name), path).float().eval()
        with_it = logits(model)
        moved = max(abs(a - b) for a, b in zip(plain, with_it)) / max(map(abs, plain))
        assert moved > 0.01, (folder, moved)
        print("%-14s moves the logits by %.3f" % (folder, moved))
        return {"model": name, "logits": with_it}

    shutil.rmtree(OUT, ignore_errors=True)
    doc = {"ids": IDS, "cases": {f: case(i, f) for i, f in enumerate(CASES)}, "combined": {}}
    for name, how in COMBINED.items():
        model = PeftModel.from_pretrained(base("llama"), os.path.join(OUT, "llama"), adapter_name="a")
        model.load_adapter(os.path.join(OUT, "llama-other"), adapter_name="b")
        model.add_weighted_adapter(["a", "b"], adapter_name="both", **how)
        model.set_adapter("both")
        doc["combined"][name] = dict(how, model="llama", adapters=["llama", "llama-other"], logits=logits(model.eval()))
    return doc


# ---- llama.cpp ----

def gguf_adapter(folder, name, path):
    """As convert_lora_to_gguf.py writes it."""
    with open(os.path.join(OUT, folder, "adapter_config.json")) as f:
        alpha = json.load(f)["lora_alpha"]
    with open(os.path.join(MODELS, name, "config.json")) as f:
        config = json.load(f)
    arch, tensors = gguf_convert.ARCH[config["model_type"]], []
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for key, (kind, shape, raw) in sorted(gguf_convert.read_safetensors(os.path.join(OUT, folder)).items()):
        part = key.split(".layers.")[1].split(".")  # N self_attn q_proj lora_A weight
        short = gguf_convert.LAYER_NAMES[".".join(part[1:3])]
        raw = gguf_convert.f32_bytes(gguf_convert.to_f32(kind, raw))
        if part[3] == "lora_B" and arch in gguf_convert.INTERLEAVED and short in heads:
            raw = gguf_convert.interleave(raw, 4 * shape[1], heads[short])
        tensors.append(("blk.%s.%s.weight.lora_%s" % (part[0], short, part[3][-1].lower()), 0, shape, raw))
    keys = [("general.type", gguf_convert.STR, "adapter"), ("general.architecture", gguf_convert.STR, arch),
            ("adapter.type", gguf_convert.STR, "lora"), ("adapter.lora.alpha", gguf_convert.F32, float(alpha))]
    gguf_convert.write_gguf(path, keys, tensors)


class Blob(ctypes.Structure):
    """llama.cpp passes parameters by value; this is larger than any release's and goes back as it came."""
    _fields_ = [("raw", ctypes.c_char * 1024)]


class Batch(ctypes.Structure):
    _fields_ = [("n", ctypes.c_int32)] + [(k, ctypes.c_void_p) for k in ("token", "embd", "pos", "n_seq", "seq", "logits")]


class Peer:
    def __init__(self):
        folder = subprocess.run([os.path.join(ROOT, "script/peer.sh")], check=True, capture_output=True,
                                text=True).stdout.split()[1]
        self.libs = [ctypes.CDLL(glob.glob(os.path.join(folder, p))[0], ctypes.RTLD_GLOBAL)
                     for p in ("libggml-base*.so*", "libggml.*so*", "libllama.*so*")]
        self.call("ggml_backend_load_all_from_path", folder.encode())
        self.call("llama_backend_init")

    def call(self, name, *args, returns=ctypes.c_void_p):
        for lib in self.libs:
            if hasattr(lib, name):
                f = getattr(lib, name)
                f.restype = returns
                return f(*args)
        raise SystemExit("the libraries have no " + name)

    def logits(self, model, adapter):
        """Of the last position; adapter None: none."""
        m = ctypes.c_void_p(self.call("llama_model_load_from_file", model.encode(),
                                      self.call("llama_model_default_params", returns=Blob)))
        ctx = ctypes.c_void_p(self.call("llama_init_from_model", m, self.call("llama_context_default_params", returns=Blob)))
        if adapter:
            one = ctypes.c_void_p(self.call("llama_adapter_lora_init", m, adapter.encode()))
            assert one.value, adapter + ": llama.cpp does not load it"
            assert self.call("llama_set_adapters_lora", ctx, ctypes.byref(one), ctypes.c_size_t(1),
                             ctypes.byref(ctypes.c_float(1)), returns=ctypes.c_int32) == 0
        ids = (ctypes.c_int32 * len(IDS))(*IDS)
        batch = self.call("llama_batch_get_one", ids, ctypes.c_int32(len(IDS)), returns=Batch)
        assert self.call("llama_decode", ctx, batch, returns=ctypes.c_int32) == 0
        vocab = ctypes.c_void_p(self.call("llama_model_get_vocab", m))
        n = self.call("llama_vocab_n_tokens", vocab, returns=ctypes.c_int32)
        out = self.call("llama_get_logits_ith", ctx, ctypes.c_int32(-1), returns=ctypes.POINTER(ctypes.c_float))
        return [float("%.9g" % out[i]) for i in range(n)]


def ask_llama_cpp(loam):
    """Of the GGUF forms; with `loam`, a program, those that it writes, too: the same numbers."""
    peer, found = Peer(), {}
    with tempfile.TemporaryDirectory() as tmp:
        for folder, name in PEER.items():
            model, adapter = os.path.join(tmp, name + ".gguf"), os.path.join(tmp, folder + "-lora.gguf")
            gguf_convert.convert(os.path.join(MODELS, name), model, float32=True)
            gguf_adapter(folder, name, adapter)
            found[folder] = {"model": name, "logits": peer.logits(model, adapter)}
            if loam:
                ours = os.path.join(tmp, folder + "-ours.gguf")
                subprocess.run([loam, "merge", os.path.join(MODELS, name), os.path.join(OUT, folder), ours, "--adapter"],
                               check=True)
                assert peer.logits(model, ours) == found[folder]["logits"], folder
    return found


def main():
    path = os.path.join(OUT, "lora.json")
    if "--peer" in sys.argv:
        with open(path) as f:
            doc = json.load(f)
        loam = os.environ.get("LOAM_BIN")
        doc["llama.cpp"] = ask_llama_cpp(loam)
        print("llama.cpp loads %s%s" % (", ".join(doc["llama.cpp"]), ", and ours give the same" if loam else ""))
    else:
        doc = make_adapters()
    with open(path, "w") as f:
        json.dump(doc, f, indent=0)
        f.write("\n")


if __name__ == "__main__":
    main()
