"""Peak memory of a run: predicted from the shapes of its layers, and measured in its process."""

from bakeoff.training.memory.measure import PeakMemory, available_memory, find_gpu, resident_bytes
from bakeoff.training.memory.predict import predict_memory

__all__ = ["PeakMemory", "available_memory", "find_gpu", "predict_memory", "resident_bytes"]
