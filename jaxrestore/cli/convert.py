"""`jaxrestore convert`: the same as `python -m convert_weights`."""

from convert_weights.cli import command as command
