"""Pipelines: a string in, plain Python values with named units out."""

from .reactivity import ReactivityPipeline

__all__ = ["ReactivityPipeline"]
