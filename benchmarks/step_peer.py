"""PyTorch's side of step.py: timm's networks, in a separate environment."""

from collections.abc import Callable

import timm
import torch
from timm.layers import freeze_batch_norm_2d

from turns import answer

CLASSES = 100


class Classifier(torch.nn.Module):
    """Globally averaged features of a network and a linear head, as bakeoff trains them."""

    def __init__(self, name: str, batch_norm: str) -> None:
        super().__init__()
        body = timm.create_model(name, pretrained=False)
        # timm's own way: a multiplication and an addition. A normalisation in `eval()` is up to ten times slower
        # backwards.
        self.body = freeze_batch_norm_2d(body) if batch_norm == "frozen" else body
        self.head = torch.nn.Linear(self.body.num_features, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, h, w) to logits (n, CLASSES)."""
        return self.head(self.body.forward_features(images).mean((2, 3)))


def open_step(name: str, size: int, batch: int, batch_norm: str, precision: str, mode: str) -> Callable[[], None]:
    """One training step with the fastest options of PyTorch: channels last, fused AdamW."""
    model = Classifier(name, batch_norm).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-4, fused=True)
    images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (batch,))

    def find_loss() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return torch.nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)

    if mode == "compiled":
        torch.compiler.reset()
        find_loss = torch.compile(find_loss)

    def step() -> None:
        loss = find_loss()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


if __name__ == "__main__":
    answer(open_step, f"torch {torch.__version__}, timm {timm.__version__}")
