"""What a run costs in memory: predicted from the layers, and measured in the run's own process."""

from bakeoff.training.memory.measure import PeakMemory, available_memory, resident_bytes
from bakeoff.training.memory.predict import predict_memory

__all__ = ["PeakMemory", "available_memory", "predict_memory", "resident_bytes"]
