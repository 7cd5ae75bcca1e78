"""The version of this source, which runs without being installed, too."""

__version__ = "0.2.0"
