"""Which network should I fine-tune for these images, how, and at what cost?"""

__version__ = "0.1.0"
