"""The metric `token_classification` of rna_hf for `evaluate.load`; see `rna_hf.evaluation`."""

from rna_hf.evaluation import module_class

Metric = module_class("token_classification")
