"""timm's side of presets.py, in a separate environment: checkpoints with random weights, and their features."""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save_file

IMAGES, SIDE = 2, 224


def write(architecture: str, folder: Path) -> None:
    """Write a checkpoint as timm does (`config.json`, `model.safetensors`), images, and its features of them."""
    torch.manual_seed(0)
    model = timm.create_model(architecture, pretrained=False).eval()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        # Weights of their own, so that none can be forgotten or be in another's place.
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.1)
        norm.momentum = 1.0
    facts = model.pretrained_cfg
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)
    scaled = (images.astype(np.float32) / 255 - np.float32(facts["mean"])) / np.float32(facts["std"])
    given = torch.from_numpy(scaled.transpose(0, 3, 1, 2)).contiguous()
    with torch.no_grad():
        # Statistics of these images, without which random weights make features of thousands.
        model.train().forward_features(given)
        maps = model.eval().forward_features(given)
    folder.mkdir(parents=True, exist_ok=True)
    kept = {key: facts[key] for key in ("tag", "input_size", "mean", "std", "interpolation")} | {"license": "none"}
    config = {
        "architecture": architecture,
        "num_classes": model.num_classes,
        "num_features": model.num_features,
        "pretrained_cfg": kept,
    }
    (folder / "config.json").write_text(json.dumps(config, default=list))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    np.savez(folder / "features.npz", images=images, features=maps.mean((2, 3)).numpy())


if __name__ == "__main__":
    for name in sys.argv[2:]:
        write(name, Path(sys.argv[1]) / name)
    sys.stdout.write(f"torch {torch.__version__}, timm {timm.__version__}\n")
