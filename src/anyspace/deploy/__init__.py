"""Policies as ONNX files: from a raw observation to the environment's action, without this library."""

from __future__ import annotations

from anyspace.deploy.export import export_policy

__all__ = ["export_policy"]
