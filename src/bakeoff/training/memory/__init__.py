"""Peak memory of a run: predicted from the shapes of its layers, and measured in its process."""

from bakeoff.training.memory.measure import PeakMemory, available_memory, find_gpu
from bakeoff.training.memory.predict import MAX_AT_ONCE, predict_memory

__all__ = ["MAX_AT_ONCE", "PeakMemory", "available_memory", "find_gpu", "predict_memory"]
