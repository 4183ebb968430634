"""Checkpoints are read without PyTorch as PyTorch reads them; damaged, hostile and unknown ones are refused."""

import argparse
import collections
import datetime
import json
import os
import pathlib
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ADM_TINY, DATA
from hypothesis import given
from hypothesis import strategies as st

import jaxrestore as jr
from convert_weights.arrays import BFLOAT16, ConversionError
from convert_weights.cli import command
from convert_weights.pickles import read_pickle
from convert_weights.reading import read_state
from convert_weights.safetensors import read_safetensors
from convert_weights.torch_legacy import read_legacy
from convert_weights.torch_zip import read_zip

torch = pytest.importorskip("torch")

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.complex64, torch.complex128,
]  # fmt: skip
VIEWS = {
    "whole": lambda a: a,
    "transposed": lambda a: a.permute(2, 1, 0),
    "permuted": lambda a: a.permute(2, 0, 1),
    "with an offset": lambda a: a[1:, :, 1],
    "with steps": lambda a: a[::2, :, ::3],
    "a scalar": lambda a: a[1, 2, 3],
    "empty": lambda a: a[:, 1:1],
    "repeated": lambda a: a[0, :, :1].expand(5, 3),
    "overlapping": lambda a: a.reshape(-1).unfold(0, 4, 2),
    "a parameter": lambda a: torch.nn.Parameter(a[1], requires_grad=a.is_floating_point() or a.is_complex()),
    "a copy": lambda a: a[0].clone(),
}


class WithoutTorch:
    """Within it, `import torch` fails."""

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        self.patch.setitem(sys.modules, "torch", None)

    def __exit__(self, *_):
        self.patch.undo()


def read_without_torch(path, read=read_zip):
    with WithoutTorch():
        return read(path)


def same(array, tensor):
    """Whether an array has the dtype, shape and bits of a tensor."""
    tensor = tensor.detach().contiguous()
    is_bfloat16 = tensor.dtype == torch.bfloat16
    expected = tensor.view(torch.int16).numpy().view(BFLOAT16) if is_bfloat16 else tensor.numpy()
    return array.dtype == expected.dtype and array.shape == expected.shape and array.tobytes() == expected.tobytes()


def drawn_tensor(seed, dtype, view):
    values = 100 * np.random.default_rng(seed).standard_normal((3, 5, 4))
    return VIEWS[view](torch.from_numpy(values).to(torch.complex128 if dtype.is_complex else torch.float64).to(dtype))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reading")


@pytest.fixture(scope="module")
def small():
    """Tensors of several dtypes, some of which share a storage."""
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "weight": base,
        "transposed": base.T,
        "row": base[1],
        "half": torch.linspace(-1, 1, 9).to(torch.bfloat16),
        "count": torch.tensor(7),
    }


@pytest.fixture(scope="module")
def small_file(small, folder):
    torch.save(small, folder / "small.pt")
    return folder / "small.pt"


def rewritten(source, target, change=lambda name, data: data, **options):
    """A zip with the same members, each passed through `change`; those that become None are left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **options) as new:
        for name in old.namelist():
            if (data := change(name, old.read(name))) is not None:
                new.writestr(name, data)
    return target


class TestZip:
    @given(
        drawn=st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from(DTYPES), st.sampled_from(sorted(VIEWS))),
            min_size=1,
            max_size=12,
        ),
        compressed=st.booleans(),
    )
    def test_tensors_are_those_that_pytorch_reads(self, folder, drawn, compressed):
        path = folder / "drawn.pt"
        torch.save({f"t{i}": drawn_tensor(*arguments) for i, arguments in enumerate(drawn)}, path)
        if compressed:
            path = rewritten(path, folder / "compressed.pt", compression=zipfile.ZIP_DEFLATED)
        expected = torch.load(path, weights_only=True)
        read = read_without_torch(path)
        assert list(read) == list(expected)
        for name, tensor in expected.items():
            assert same(read[name], tensor), name

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_every_dtype_and_view_is_read(self, folder, dtype):
        tensors = {view: drawn_tensor(0, dtype, view) for view in VIEWS}
        base = drawn_tensor(1, dtype, "whole")
        tensors |= {"shared": base, "of the same storage": base[1:].transpose(0, 2)}
        torch.save(tensors, folder / "views.pt")
        read = read_without_torch(folder / "views.pt")
        for name, tensor in tensors.items():
            assert same(read[name], tensor), name
        assert np.shares_memory(read["shared"], read["of the same storage"])

    def test_arrays_are_views_of_the_mapped_file(self, small_file):
        for array in read_zip(small_file).values():
            assert not array.flags.writeable
            while not isinstance(array, np.memmap):
                array = array.base
                assert array is not None

    def test_big_endian_files_are_read_as_pytorch_reads_them(self, folder):
        tensors = {str(dtype): drawn_tensor(0, dtype, "transposed") for dtype in DTYPES if dtype.itemsize in (1, 4)}
        tensors = {
            name: t for name, t in tensors.items() if "uint32" not in name
        }  # PyTorch itself leaves these as they are
        torch.save(tensors, folder / "little.pt")
        sizes = {f"little/data/{i}": t.dtype.itemsize for i, t in enumerate(tensors.values())}

        def swapped(name, data):
            if name in sizes:
                return np.frombuffer(data, f"u{sizes[name]}").byteswap().tobytes()
            return b"big" if name.endswith("/byteorder") else data

        path = rewritten(folder / "little.pt", folder / "big.pt", swapped)
        read, expected = read_without_torch(path), torch.load(path, weights_only=True)
        for name, tensor in tensors.items():
            assert same(read[name], tensor), name
            assert same(read[name], expected[name]), name
        rewritten(path, folder / "odd.pt", lambda name, data: b"middle" if name.endswith("/byteorder") else data)
        with pytest.raises(ConversionError, match="byteorder 'middle', expected 'little' or 'big'"):
            read_zip(folder / "odd.pt")

    def test_files_of_before_the_byte_order_was_noted_are_little_endian(self, small, small_file, folder):
        keep = ("/data.pkl", "/version")
        path = rewritten(
            small_file, folder / "old.pt", lambda name, data: data if name.endswith(keep) or "/data/" in name else None
        )
        for name, array in read_zip(path).items():
            assert same(array, small[name])

    def test_what_training_codes_save_beside_the_weights_is_no_obstacle(self, small, folder):
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        optimiser = torch.optim.AdamW(model.parameters(), foreach=False)
        model(torch.ones(1, 3, 4, 4)).sum().backward()
        optimiser.step()
        attributed = torch.nn.Parameter(torch.ones(2, 3))
        attributed.no_weight_decay = True
        checkpoint = {
            "state_dict": {**model.state_dict(), "attributed": attributed},
            "optimizer": optimiser.state_dict(),
            "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimiser, 3).state_dict(),
            "scaler": torch.amp.GradScaler("cpu", enabled=False).state_dict(),
            "args": argparse.Namespace(folder=pathlib.PurePosixPath("runs"), start=datetime.datetime(2024, 1, 1)),
            "rng": {"torch": torch.get_rng_state(), "numpy": np.random.RandomState(0).get_state()},
            "best": np.float64(0.5),
            "history": collections.defaultdict(list, loss=[1.0, 0.5]),
            "seen": {1, 2},
            "misc": (torch.Size([1, 2]), torch.float32, torch.device("cpu"), None, True, 1 + 2j, b"bytes"),
            "queue": collections.deque([1, 2], maxlen=2),
            "step": torch.tensor(100),
        }
        torch.save(checkpoint, folder / "training.pt")
        read = read_without_torch(folder / "training.pt", read_state)
        assert list(read) == list(checkpoint["state_dict"])
        for name, tensor in checkpoint["state_dict"].items():
            assert same(read[name], tensor), name

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda a: a.to_sparse(), "it holds a sparse tensor (torch._utils._rebuild_sparse_tensor)"),
            (lambda a: a.to(torch.float8_e4m3fn), "(torch.float8_e4m3fn), expected dense tensors of float64"),
            (lambda a: a.to(torch.complex32), "(torch.complex32)"),
            (lambda a: a.to("meta"), "a tensor without values (device meta)"),
            (lambda a: a.to(torch.complex64).conj(), "a tensor is stored before its conj; save it resolved"),
            (lambda a: torch.nested.nested_tensor([a[0], a[1, :1]]), "a nested tensor"),
            (lambda a: torch._empty_affine_quantized((2,), scale=1.0, zero_point=0, dtype=torch.qint8), "a quantised"),
        ],
    )
    @pytest.mark.filterwarnings("ignore")
    def test_other_kinds_of_tensors_are_named(self, folder, make, message):
        torch.save({"w": make(torch.eye(3))}, folder / "kind.pt")
        with pytest.raises(ConversionError, match="kind.pt is refused: ") as error:
            read_without_torch(folder / "kind.pt")
        assert message in str(error.value)

    @pytest.mark.parametrize(
        ("offset", "size", "stride", "message"),
        [
            (0, (7,), (1,), "beyond its storage"),
            (6, (1,), (1,), "beyond its storage"),
            (7, (0,), (1,), "beyond its storage"),
            (0, (2, 2), (5, 1), "beyond its storage"),
            (0, (2**40,), (0,), "repeats the 6 values of its storage"),
            (5, (2,), (-1,), r"strides \(-1,\)"),
            (-1, (2,), (1,), "offset -1"),
            (0, (2, 3), (1,), "else than a storage, a shape and strides"),
            (0, (2.0,), (1,), "shape"),
        ],
    )
    def test_tensors_lie_within_their_storage(self, folder, offset, size, stride, message):
        storage = torch.arange(6.0).untyped_storage()

        class Bad:
            def __reduce__(self):
                typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
                return torch._utils._rebuild_tensor_v2, (typed, offset, size, stride, False, {})

        torch.save({"w": Bad()}, folder / "bad.pt")
        with pytest.raises(ConversionError, match=message):
            read_zip(folder / "bad.pt")

    def test_torchscript_is_refused(self, folder):
        with zipfile.ZipFile(folder / "script.pt", "w") as archive:
            for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
                archive.writestr(f"script/{name}", b"")
        with pytest.raises(ConversionError, match="is a TorchScript archive"):
            read_zip(folder / "script.pt")

    def test_zips_of_other_things_are_refused(self, folder):
        with zipfile.ZipFile(folder / "other.pt", "w") as archive:
            archive.writestr("text", b"text")
        with pytest.raises(ConversionError, match="no PyTorch checkpoint: a zip with 0 members data.pkl"):
            read_zip(folder / "other.pt")


class TestDamage:
    def is_refused_or_harmless(self, path, small):
        """A damaged file may be readable where nobody looks: between members, or in the copy of a name's date."""
        try:
            read = read_zip(path) if path.suffix == ".pt" else read_safetensors(path)
        except ConversionError:
            return True
        return list(read) == list(small) and all(same(read[name], tensor) for name, tensor in small.items())

    @pytest.mark.parametrize("compressed", [False, True])
    def test_flipped_bytes_never_change_a_tensor(self, small, small_file, folder, compressed):
        if compressed:
            small_file = rewritten(small_file, folder / "deflated.pt", compression=zipfile.ZIP_DEFLATED)
        whole, rng = small_file.read_bytes(), np.random.default_rng(0)
        path = folder / "flipped.pt"
        for _ in range(250):
            data = bytearray(whole)
            for place in rng.integers(len(data), size=rng.integers(1, 4)):
                data[place] ^= int(rng.integers(1, 256))
            path.write_bytes(data)
            assert self.is_refused_or_harmless(path, small), data

    def test_every_bit_of_the_tensors_counts(self, small_file, folder):
        whole = small_file.read_bytes()
        with zipfile.ZipFile(small_file) as archive:
            places = [whole.index(archive.read(name)) for name in archive.namelist() if "/data/" in name]
        assert len(places) == 3
        for place in places:
            for bit in range(8):
                data = bytearray(whole)
                data[place + 1] ^= 1 << bit
                (folder / "bit.pt").write_bytes(data)
                with pytest.raises(ConversionError, match=r"is damaged at its member 'small/data/\d' \(Bad CRC-32"):
                    read_zip(folder / "bit.pt")

    def test_cut_shifted_and_blank_files_are_refused(self, small, small_file, folder):
        whole, rng = small_file.read_bytes(), np.random.default_rng(1)
        path = folder / "cut.pt"
        for _ in range(60):
            start, stop = sorted(int(place) for place in rng.integers(len(whole), size=2))
            for data in (
                whole[:start],
                whole[start:],
                whole[:start] + whole[stop:],
                whole[:start] + bytes(stop - start) + whole[stop:],
                whole[:stop] + whole[start:],
            ):
                path.write_bytes(data)
                assert self.is_refused_or_harmless(path, small)

    def test_a_member_that_is_missing_or_twice_there_is_refused(self, small_file, folder):
        rewritten(small_file, folder / "less.pt", lambda name, data: None if name.endswith("/data/0") else data)
        with pytest.raises(ConversionError, match="it lacks the member 'small/data/0'"):
            read_zip(folder / "less.pt")
        path = rewritten(small_file, folder / "short.pt", lambda name, data: data[:8] if name.endswith("/0") else data)
        with pytest.raises(ConversionError, match="storage '0' has 8 bytes, expected 24 times float32"):
            read_zip(path)
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("small/data/0", bytes(96))
        with pytest.raises(ConversionError, match="no name twice"):
            read_zip(path)

    def test_files_that_were_saved_without_checksums_say_so(self, folder):
        torch.serialization.set_crc32_options(False)
        try:
            torch.save({"w": torch.eye(3)}, folder / "unchecked.pt")
        finally:
            torch.serialization.set_crc32_options(True)
        with pytest.raises(ConversionError, match=r"it was saved without checksums: set_crc32_options\(True\)"):
            read_zip(folder / "unchecked.pt")


class TestCode:
    """Nothing in a file is executed: whoever tries is named."""

    class Attack:
        def __init__(self, function, *arguments):
            self.what = function, arguments

        def __reduce__(self):
            return self.what

    @pytest.mark.parametrize("beside", [False, True])
    @pytest.mark.parametrize("function", [os.mkdir, os.system, eval, exec, getattr, __import__, open, pickle.loads])
    def test_functions_are_refused(self, folder, small, function, beside):
        marker = folder / "executed"
        argument = {os.system: f"mkdir {marker}", eval: f"__import__('os').mkdir({str(marker)!r})"}.get(
            function, marker
        )
        attack = self.Attack(function, argument if isinstance(argument, str) else str(argument))
        checkpoint = {"state_dict": small, "extra": attack} if beside else {"weight": attack}
        torch.save(checkpoint, folder / "attack.pt")
        torch.save(checkpoint, folder / "attack.pth", _use_new_zipfile_serialization=False)
        (folder / "attack.pkl").write_bytes(pickle.dumps(checkpoint if not beside else attack))
        for read, name in (
            (read_zip, "attack.pt"),
            (read_state, "attack.pt"),
            (read_state, "attack.pth"),
            (read_pickle, "attack.pkl"),
        ):
            with pytest.raises(ConversionError, match="is no data and would execute code when loaded"):
                read(folder / name)
        assert not marker.exists()

    @pytest.mark.parametrize(
        "opcodes",
        [
            b"cposix\nmkdir\n(V{}\ntR.",  # REDUCE
            b"(V{}\niposix\nmkdir\n.",  # INST
            b"(cposix\nmkdir\nV{}\no.",  # OBJ
            b"cposix\nmkdir\n(V{}\nt\x81.",  # NEWOBJ
            b"\x8c\x05posix\x8c\x05mkdir\x93(V{}\ntR.",  # STACK_GLOBAL
            b"ctorch._utils\n_rebuild_parameter.__globals__\n.",
            b"ctorch._tensor\n_rebuild_from_type_v2\n(cposix\nmkdir\nN(V{}\ntNtR.",
            b"ccollections\nOrderedDict\n(N}V__len__\ncposix\nmkdir\nstb.",  # BUILD: attributes of a class
            b"(cposix\nmkdir\nV{}\ntQ.",  # a persistent id
            b"cconvert_weights.pickles\nload\n.",
            b"cnumpy\nload\n(V{}\ntR.",
            b"cargparse\nNamespace.__init__.__globals__\n.",
        ],
    )
    def test_no_opcode_gets_around_it(self, small_file, folder, opcodes):
        marker = folder / "executed"
        program = opcodes.replace(b"{}", str(marker).encode())
        path = rewritten(small_file, folder / "ops.pt", lambda name, data: program if "data.pkl" in name else data)
        with pytest.raises(ConversionError):
            read_state(path)
        for records in ((), ("torch.nn.",)):
            with pytest.raises(ConversionError):
                read_pickle(program, records=records)
        assert not marker.exists()
        torch.save({"weight": torch.eye(2)}, folder / "after.pt")
        assert same(read_state(folder / "after.pt")["weight"], torch.eye(2))

    def test_a_whole_network_is_a_record_and_no_state(self, folder):
        torch.save(torch.nn.Linear(2, 2), folder / "module.pt")
        with pytest.raises(ConversionError, match="holds a Linear, expected a mapping of names to tensors"):
            read_state(folder / "module.pt")


def safetensors_file(path, entries, data=b"", header=None):
    text = json.dumps(entries).encode() if header is None else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


class TestSafetensors:
    DTYPES = (*DTYPES[:9], torch.bool)

    @given(
        drawn=st.lists(
            st.tuples(st.integers(0, 9), st.sampled_from(DTYPES), st.sampled_from(["whole", "a scalar", "empty"])),
            min_size=1,
            max_size=8,
        ).map(lambda drawn: [d for d in drawn if d[1] in TestSafetensors.DTYPES])
    )
    def test_tensors_are_those_that_the_library_reads(self, folder, drawn):
        library = pytest.importorskip("safetensors.torch")
        path = folder / "drawn.safetensors"
        tensors = {f"t{i}": drawn_tensor(*arguments).clone() for i, arguments in enumerate(drawn)}
        library.save_file(tensors, path, metadata={"format": "pt"})
        read = read_without_torch(path, read_safetensors)
        assert set(read) == set(tensors)
        for name, tensor in library.load_file(path).items():
            assert same(read[name], tensor), name

    def test_unaligned_tensors_are_read(self, folder):
        values = np.arange(2, dtype=np.float32)
        path = safetensors_file(
            folder / "odd.safetensors", {"w": F32}, values.tobytes(), header=json.dumps({"w": F32}).encode()
        )
        for spaces in range(8):
            text = json.dumps({"w": F32}).encode() + b" " * spaces
            safetensors_file(path, {}, values.tobytes(), header=text)
            np.testing.assert_array_equal(read_safetensors(path)["w"], values)
            assert read_safetensors(path)["w"].flags.aligned

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ({"w": {**F32, "data_offsets": [0, 12]}}, "expected 0 to 8 at most"),
            ({"w": {**F32, "data_offsets": [0, 4]}}, "has 4 bytes, expected F32 of shape [2]"),
            ({"w": {**F32, "data_offsets": [8, 0]}}, "has bytes 8 to 0, expected 0 to 8 at most"),
            ({"w": {**F32, "data_offsets": [-8, 0]}}, "expected lists of numbers"),
            ({"w": {**F32, "data_offsets": [4, 8], "shape": [1]}}, "expected 0 to 8"),
            ({"w": {**F32, "shape": [1], "data_offsets": [0, 4]}}, "its tensors end at byte 4 of 8"),
            ({"w": F32, "v": F32}, "has bytes 0 to 8, expected 8"),
            ({"w": F32, "v": {**F32, "shape": [0, 10**30], "data_offsets": [8, 8]}}, "v has shape [0, 10000"),
            ({"w": {**F32, "shape": [True, 2]}}, "expected lists of numbers"),
            ({"w": {**F32, "shape": 2}}, "expected lists of numbers"),
            ({"w": {**F32, "shape": [10**12, 10**12]}}, "has 8 bytes"),
            ({"w": [1]}, "expected lists of numbers"),
            ([], "its header is a list, expected a JSON object"),
        ],
    )
    def test_headers_that_contradict_the_file_are_refused(self, folder, entries, message):
        path = safetensors_file(folder / "bad.safetensors", entries, bytes(8))
        with pytest.raises(ConversionError, match="is no whole safetensors file") as error:
            read_safetensors(path)
        assert message in str(error.value)

    @pytest.mark.parametrize(
        "header", [b"{", b"\xff{}", b"[" * 100_000, b'{"w": 1' + b"0" * 9999, b'{"w": {}, "w": {}}', b""]
    )
    def test_headers_that_are_none_are_refused(self, folder, header):
        path = safetensors_file(folder / "bad.safetensors", {}, bytes(8), header=header)
        with pytest.raises(ConversionError, match="is no whole safetensors file"):
            read_safetensors(path)

    @pytest.mark.parametrize("length", [2**63, 10**9, 9, 0])
    def test_absurd_lengths_are_refused(self, folder, length):
        (folder / "long.safetensors").write_bytes(struct.pack("<Q", length) + b"{}      ")
        with pytest.raises(ConversionError, match="is no whole safetensors file"):
            read_safetensors(folder / "long.safetensors")

    def test_every_truncation_is_refused(self, folder, small):
        whole = safetensors_file(folder / "whole.safetensors", {"w": F32}, bytes(8)).read_bytes()
        for size in range(len(whole)):
            (folder / "cut.safetensors").write_bytes(whole[:size])
            with pytest.raises(ConversionError, match="is no whole safetensors file"):
                read_safetensors(folder / "cut.safetensors")

    def test_dtypes_without_a_counterpart_are_named(self, folder):
        entry = {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}
        path = safetensors_file(folder / "f8.safetensors", {"w": entry}, bytes(8))
        with pytest.raises(
            ConversionError, match=r"f8.safetensors is refused: w F8_E4M3 is not read, expected F64, F32"
        ):
            read_safetensors(path)

    def test_shards_are_put_together(self, folder):
        for i in (1, 2):
            entry = {f"w{i}": F32}
            safetensors_file(folder / f"model-0000{i}-of-00002.safetensors", entry, np.float32([i, i]).tobytes())
        index = folder / "model.safetensors.index.json"
        names = {f"w{i}": f"model-0000{i}-of-00002.safetensors" for i in (1, 2)}
        index.write_text(json.dumps({"metadata": {"total_size": 16}, "weight_map": names}))
        assert {name: list(a) for name, a in read_state(index).items()} == {"w1": [1, 1], "w2": [2, 2]}
        for change, message in (
            ({"w2": names["w1"]}, "names tensors that are not there: w2 in model-00001"),
            ({"w2": "absent.safetensors"}, "lacks absent.safetensors, a shard that model.safetensors.index.json names"),
            ({"w2": f"../{folder.name}/{names['w2']}"}, "expected a checkpoint in its own folder"),
            ({"w2": index.name}, "expected a checkpoint in its own folder"),
            ({"w2": 3}, "it is no index of a sharded checkpoint"),
        ):
            index.write_text(json.dumps({"weight_map": {**names, **change}}))
            with pytest.raises(ConversionError, match=message):
                read_state(index)


class TestWithoutTorch:
    @pytest.mark.parametrize("is_zip", [True, False])
    def test_a_checkpoint_becomes_a_prior(self, tmp_path, adm_tiny, is_zip):
        with np.load(DATA / "adm_tiny.npz") as stored:
            state = {name: torch.from_numpy(value) for name, value in stored.items()}
        torch.save(state, tmp_path / "adm.pt", _use_new_zipfile_serialization=is_zip)
        arguments = ["guided-diffusion", tmp_path / "adm.pt", "--num-head-channels", "16", "--out", tmp_path / "prior"]
        with WithoutTorch():
            result = CliRunner().invoke(command, [str(a) for a in arguments])
        assert result.exception is None, result.exception
        prior = jr.load_prior(tmp_path / "prior")
        assert prior.config == ADM_TINY
        for name, value in adm_tiny.params.items():
            np.testing.assert_array_equal(prior.params[name], value)


class TestLegacy:
    """Files of before PyTorch 1.6, which have no checksums."""

    @given(
        drawn=st.lists(
            st.tuples(st.integers(0, 9), st.sampled_from(DTYPES), st.sampled_from(sorted(VIEWS))),
            min_size=1,
            max_size=8,
        )
    )
    def test_tensors_are_those_that_were_saved(self, folder, drawn):
        path = folder / "drawn.pth"
        tensors = {f"t{i}": drawn_tensor(*arguments) for i, arguments in enumerate(drawn)}
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
        read = read_without_torch(path, read_legacy)
        assert list(read) == list(tensors)
        for name, tensor in tensors.items():
            assert same(read[name], tensor), name

    def test_checkpoints_are_read_with_what_lies_beside_the_weights(self, small, folder):
        layer = torch.nn.Linear(2, 2)
        content = {
            "state_dict": small,
            "parameter": layer.weight,
            "network": layer,
            "arguments": argparse.Namespace(a=1),
        }
        torch.save(content, folder / "legacy.pth", _use_new_zipfile_serialization=False)
        read = read_without_torch(folder / "legacy.pth", read_legacy)
        assert all(same(read["state_dict"][name], tensor) for name, tensor in small.items())
        assert same(read["parameter"], layer.weight)
        base = read["state_dict"]["weight"]
        assert not base.flags.writeable
        assert np.shares_memory(base, read["state_dict"]["row"])

    def test_views_of_storages_are_read(self, folder):
        """Files of the first releases describe parts of storages, as ("storage", ..., (name, start, length))."""
        path = folder / "views.pth"
        torch.save(torch.arange(6.0), path, _use_new_zipfile_serialization=False)
        whole = path.read_bytes()
        described, size = b"K\x06Nt", b"K\x00K\x06\x85"
        assert whole.count(described) == whole.count(size) == 1
        part = whole.replace(described, b"K\x06X\x01\x00\x00\x00vK\x02K\x03\x87t").replace(size, b"K\x00K\x03\x85")
        path.write_bytes(part)
        np.testing.assert_array_equal(read_legacy(path), [2, 3, 4])
        path.write_bytes(part.replace(b"K\x02K\x03\x87t", b"K\x04K\x03\x87t"))
        with pytest.raises(ConversionError, match="a view reaches beyond storage"):
            read_legacy(path)

    def test_tensors_inside_an_ordinary_pickle_are_read(self):
        saved = pickle.dumps(torch.eye(2))
        with WithoutTorch():
            array = read_pickle(saved, records=("torch.nn.",))
        np.testing.assert_array_equal(array, np.eye(2))

    def test_every_truncation_is_refused(self, small, folder):
        torch.save(small, folder / "whole.pth", _use_new_zipfile_serialization=False)
        whole = (folder / "whole.pth").read_bytes()
        for size in range(len(whole)):
            (folder / "cut.pth").write_bytes(whole[:size])
            with pytest.raises(ConversionError):
                read_legacy(folder / "cut.pth")

    def test_damage_is_refused_or_changes_values_only(self, small, folder):
        torch.save(small, folder / "whole.pth", _use_new_zipfile_serialization=False)
        whole, rng = (folder / "whole.pth").read_bytes(), np.random.default_rng(0)
        refused = 0
        for _ in range(300):
            data = bytearray(whole)
            for place in rng.integers(len(data), size=rng.integers(1, 4)):
                data[place] ^= int(rng.integers(1, 256))
            (folder / "flipped.pth").write_bytes(data)
            try:
                read_legacy(folder / "flipped.pth")
            except ConversionError:
                refused += 1
        assert refused > 100

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            (b"\x18\x00\x00\x00\x00\x00\x00\x00", b"\x17\x00\x00\x00\x00\x00\x00\x00", "has 23 values, expected 24"),
            (b"M\xe9\x03.", b"M\xea\x03.", "no PyTorch checkpoint: it begins with .*1002"),
            (b"FloatStorage", b"OddStorage\n", "refused"),
            (b"X\x07\x00\x00\x00storage", b"X\x07\x00\x00\x00strange", "refers to .'strange'.*expected a storage"),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, folder, before, after, message):
        path = folder / "contradiction.pth"
        torch.save(torch.arange(24.0), path, _use_new_zipfile_serialization=False)
        whole = path.read_bytes()
        assert whole.count(before) == 1
        path.write_bytes(whole.replace(before, after))
        with pytest.raises(ConversionError, match=message):
            read_legacy(path)
