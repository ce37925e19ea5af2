"""Legacy Bridge: a gateway beside a legacy system, with the way back always open."""

__version__ = "0.1.0"
