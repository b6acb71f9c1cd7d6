"""Writes tiny checkpoints of the package `multimolecule` with random weights, and what it computes with them.

`test_multimolecule_ribonanzanet.py` runs it with the interpreter of an environment that holds `multimolecule`:

    python run_multimolecule.py CASES FOLDER

CASES is JSON, the name of a case to {"class", "config", "ids", "is_framed"}; a tokenizer that frames adds <cls> and
<eos>. Each case becomes FOLDER/<name>, with the outputs beside the checkpoint in `outputs.safetensors`.
"""

import json
import sys
from pathlib import Path

import multimolecule
import torch
from safetensors.torch import save_file

cases, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
for seed, (name, case) in enumerate(cases.items()):
    torch.manual_seed(seed)
    model = getattr(multimolecule, case["class"])(multimolecule.RibonanzaNetConfig(**case["config"])).eval()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, 0.3)  # norms and gates too: a part that is fresh could hide
        outputs = model(torch.tensor(case["ids"]))
    model.save_pretrained(folder / name)
    tokens = {} if case["is_framed"] else {"bos_token": None, "eos_token": None}
    multimolecule.RnaTokenizer(**tokens).save_pretrained(folder / name)
    tensors = {key: value.contiguous() for key, value in outputs.items() if torch.is_tensor(value)}
    save_file(tensors, folder / name / "outputs.safetensors")
