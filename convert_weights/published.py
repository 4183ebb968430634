"""The guided-diffusion checkpoints that their authors host for everybody, by name."""

import pathlib
from typing import NamedTuple

from convert_weights.arrays import ConversionError
from convert_weights.download import download
from jaxrestore.storage.cache import cache_folder

# openai/guided-diffusion, README, "Download pre-trained models".
ADDRESS = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/"
LICENCE = "MIT, that of openai/guided-diffusion, whose model card says: for research only"
_FFHQ = (
    "ffhq256 is on Google Drive, which serves browsers: fetch ffhq_10m.pt from the folder of DPS's authors, "
    "https://drive.google.com/drive/folders/1jElnRoFv7b31fG0v6pTSQkelbSX3xGZh, or by "
    "`pip install gdown; gdown 1BGwhRWUoguF-D8wlZ65tf227gp3cDUDh -O ffhq_10m.pt`, then convert the file: "
    "jaxrestore convert guided-diffusion ffhq_10m.pt --preset ffhq256 --out DIR"
)


class PublishedFile(NamedTuple):
    """A checkpoint on OpenAI's server."""

    file: str
    preset: str  # a key of `guided_diffusion.PRESETS`
    size: int | None = None  # in bytes, where it is known; else the server says it
    digest: str | None = None  # as `download` takes it; else the server's Content-MD5 counts


# Sizes and digests are those that people noted who fetched the files: the SHA-256 stands in Disco Diffusion's notebook
# and elsewhere, the MD5 is what the server itself states. Of the other files neither was found.
FILES = {
    "imagenet64": PublishedFile("64x64_diffusion.pt", "imagenet64"),
    "imagenet128": PublishedFile("128x128_diffusion.pt", "imagenet128"),
    "imagenet256": PublishedFile(
        "256x256_diffusion_uncond.pt",
        "imagenet256",
        2_211_383_297,
        "sha256:a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1",
    ),
    "imagenet256-cond": PublishedFile(
        "256x256_diffusion.pt", "imagenet256", 2_215_479_544, "md5:d94f30fb1afb2fe821c24bef2043717e"
    ),
    "imagenet512": PublishedFile("512x512_diffusion.pt", "imagenet512"),
    "lsun-bedroom": PublishedFile("lsun_bedroom.pt", "lsun256"),
    "lsun-cat": PublishedFile("lsun_cat.pt", "lsun256"),
    "lsun-horse": PublishedFile("lsun_horse.pt", "lsun256"),
    "lsun-horse-nodropout": PublishedFile("lsun_horse_nodropout.pt", "lsun256"),
}


NAMES = (*FILES, "ffhq256")


def find(name: str) -> PublishedFile:
    """The row of a name.

    Raises:
      ConversionError: If there is none; for FFHQ's network, which no program can fetch, the text tells how to get it.
    """
    if name == "ffhq256":
        raise ConversionError(_FFHQ)
    if name not in FILES:
        raise ConversionError(f"{name!r} is none of the published checkpoints: {', '.join(NAMES)}")
    return FILES[name]


def fetch(published: PublishedFile) -> pathlib.Path:
    """The checkpoint's file in the library's cache, downloaded unless it is there.

    Raises:
      ConversionError: As `download` raises it.
    """
    target = cache_folder("downloads") / published.file
    return download(ADDRESS + published.file, target, size=published.size, digest=published.digest)
