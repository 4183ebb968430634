"""`python -m convert_weights`."""

from convert_weights.cli import command
from jaxrestore.console import run

run(command)
