"""What a model looks at: windows of attention, and the motifs in them."""
