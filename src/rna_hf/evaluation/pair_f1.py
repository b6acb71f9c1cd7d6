"""The metric `pair_f1` of rna_hf for `evaluate.load`; see `rna_hf.evaluation`."""

from rna_hf.evaluation import module_class

Metric = module_class("pair_f1")
