"""PyTorch's side of step.py: timm's networks, in a separate environment."""

from collections.abc import Callable
from contextlib import nullcontext

import timm
import torch

from turns import answer

CLASSES = 100


class Classifier(torch.nn.Module):
    """Globally averaged features of a network and a linear head, as bakeoff trains them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = timm.create_model(name, pretrained=False)
        self.head = torch.nn.Linear(self.body.num_features, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, h, w) to logits (n, CLASSES)."""
        return self.head(self.body.forward_features(images).mean((2, 3)))


def open_step(name: str, size: int, batch: int, precision: str, batch_norm: str) -> Callable[[], None]:
    """One training step with the fastest options of PyTorch: channels last, fused AdamW."""
    model = Classifier(name).to(memory_format=torch.channels_last).train()
    if batch_norm == "frozen":
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval().requires_grad_(False)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-4, fused=True)
    images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (batch,))
    half = precision == "bfloat16"

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            loss = torch.nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


if __name__ == "__main__":
    answer(open_step, f"torch {torch.__version__}, timm {timm.__version__}")
