"""timm's side of presets.py, in a separate environment: checkpoints with random weights, and their features."""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save_file

IMAGES, SIDE = 4, 224


def write(architecture: str, folder: Path) -> None:
    """Write a checkpoint as timm does (`config.json`, `model.safetensors`), images, and its features of them."""
    torch.manual_seed(0)
    model = timm.create_model(architecture, pretrained=False).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Statistics of their own, so that none can be forgotten or be in another's place.
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    facts = model.pretrained_cfg
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)
    scaled = (images.astype(np.float32) / 255 - np.float32(facts["mean"])) / np.float32(facts["std"])
    with torch.no_grad():
        maps = model.forward_features(torch.from_numpy(scaled.transpose(0, 3, 1, 2)).contiguous())
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
