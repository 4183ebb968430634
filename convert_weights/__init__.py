"""Published PyTorch checkpoints as weights for jaxrestore: one module per source format.

Nothing in a checkpoint is executed. `python -m convert_weights --help` lists the formats.
"""
