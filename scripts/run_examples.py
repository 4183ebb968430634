"""Runs the tutorials at full size, and keeps the pictures and the output that their pages show.

    python -m scripts.run_examples [NAME ...]

Pictures and output go to `docs/pictures/`, with a record of the prior that they were made with; a page without them has
neither. Some minutes each on two CPU cores.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

from PIL import Image

from benchmarks import networks
from scripts.drawn import records
from scripts.site.examples import EXAMPLES, NAMES, PICTURES

ELSEWHERE = ("ffhq",)  # those that need files which are not here


def main() -> None:
    """Run the given scripts, or all that need nothing from elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    for name in parser.parse_args().names or [n for n in NAMES if n not in ELSEWHERE]:
        with tempfile.TemporaryDirectory() as folder:
            script = EXAMPLES / f"{name}.py"
            run = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True)
            if run.returncode:
                raise SystemExit(f"{script} failed:\n{run.stderr}")
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / f"{name}.txt").write_text(run.stdout)
            for picture in pathlib.Path(folder).glob("*.jpg"):
                Image.open(picture).save(PICTURES / picture.name, quality=80)  # small, for it is kept in git
            records.write_record(PICTURES / f"{name}.json", networks.photo_facts())
        print(name, run.stdout, sep="\n", flush=True)


if __name__ == "__main__":
    main()
