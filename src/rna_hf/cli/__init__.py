"""The command line: `rna-hf <command>`."""
