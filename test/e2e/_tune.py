"""What the tests of tuning share: conversations and pairs, always the same, and the course whose losses PyTorch has computed
(test/golden/tune_torch.py)."""
import json

NAMES = "Ann Bob Cat Dan Eve Fay Gus Hal Ida Jim".split()
THINGS = "cup hat map pen box".split()
TALKS = [{"messages": [{"role": "user", "content": "What has %s?" % n}, {"role": "assistant", "content": "A %s." % t}]}
         for n in NAMES for t in THINGS]
PAIRS = [{"prompt": "What has %s?" % n, "chosen": "A %s." % t, "rejected": "No %s!" % t} for n in NAMES for t in THINGS]
FAMILIES = "gemma2 gemma3 granite llama-bias mistral olmo2 olmo3 phi3 qwen2 qwen3 smollm3".split()
COURSE = {"steps": 50, "batch": 4, "warmup": 3, "beta": 0.2, "lr": {"text": 2e-3, "dpo": 5e-4}, "clip": 1.0, "seed": 1}


def line(row):
    return row if isinstance(row, str) else json.dumps(row)


def write_lines(path, rows):
    with open(path, "w") as f:
        for row in rows:
            f.write(line(row) + "\n")
    return path
