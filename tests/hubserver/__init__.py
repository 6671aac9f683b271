"""A local stand-in for the Hugging Face Hub that the real client talks to, with faults to switch on."""

from .faults import Fault
from .server import TestHub

__all__ = ["Fault", "TestHub"]
