"""Picture files: how they are decoded and encoded, their colours, and the masks and kernels that people draw."""
