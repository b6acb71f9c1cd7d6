"""The metric `reactivity` of rna_hf for `evaluate.load`; see `rna_hf.evaluation`."""

from rna_hf.evaluation import module_class

Metric = module_class("reactivity")
