"""How fast a bundle is on this machine, in the terms of llama.cpp's llama-bench."""

from youtu_onnx.bench.benchmark import Benchmark
from youtu_onnx.bench.plan import SCENARIOS, SEED, Plan, Trial
from youtu_onnx.bench.report import Report
from youtu_onnx.bench.samples import Result, Sample, Statistics

__all__ = ["SCENARIOS", "SEED", "Benchmark", "Plan", "Report", "Result", "Sample", "Statistics", "Trial"]
