"""Experiments, from a file or from Python: train an expert, distil it, export and evaluate its students."""

from kdmarl_core.experiment.evaluation import Evaluation, evaluate
from kdmarl_core.experiment.experiment import EvaluateConfig, Experiment
from kdmarl_core.experiment.stages import distill, export, train

__all__ = ["EvaluateConfig", "Evaluation", "Experiment", "distill", "evaluate", "export", "train"]
