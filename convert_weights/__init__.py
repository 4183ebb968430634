"""Published PyTorch checkpoints as weights for jaxrestore: one module per source format.

Nothing in a checkpoint is executed. `python -m convert_weights --help` lists the formats. Beside them lies a trainer in
PyTorch, `python -m convert_weights.train_twin`, for processors whose bfloat16 instructions XLA does not use.
"""
