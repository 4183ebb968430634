"""`python -m convert_weights`."""

from convert_weights.cli import command
from jaxrestore.cli import run

run(command)
