"""Makes the files in tests/io/data/torch with PyTorch and NumPy; the tests know the formulas that fill them.

Usage: python make_torch_files.py [folder]. Needs torch >= 2.3 and numpy; with torch 1.x, only the files whose name is
given as further arguments can be made: python make_torch_files.py folder old
python make_torch_files.py --check file shows what torch.load reads from a file.
python make_torch_files.py --rewrite file new zip|stream saves a file's contents again, in the present format or the old.
"""

import argparse
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict

import numpy
import torch


def numbers(count, dtype=torch.float32):
    """Element i is (7 i + 3) mod 113 - 40; without the - 40 for unsigned types, odd or even for booleans."""
    i = (torch.arange(count, dtype=torch.int64) * 7 + 3) % 113
    if dtype == torch.bool:
        return i % 2 == 1
    unsigned = dtype in (torch.uint8, getattr(torch, "uint16", None), getattr(torch, "uint32", None))
    return (i if unsigned else i - 40).to(dtype)


def every_type():
    names = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    names += ["complex64"]
    names += [n for n in ("uint16", "uint32", "float8_e4m3fn") if hasattr(torch, n)]
    out = OrderedDict((n, numbers(6, getattr(torch, n)).reshape(2, 3)) for n in names)
    out["scalar"] = torch.tensor(2.5)
    out["empty"] = torch.zeros(0, 3)
    return out


def views():
    base = numbers(24).reshape(4, 6)
    return {
        "base": base,
        "transposed": base.t(),
        "row": base[1],
        "column": base[:, 2],
        "block": base[1:3, 2:5],
        "steps": base[::2, ::3],
        "expanded": base[:1].expand(3, 6),
        "permuted": base.reshape(2, 2, 6).permute(2, 0, 1),
        "one": base[2:3, 3:4],
        "parameter": torch.nn.Parameter(base[3]),
        "tied": [base, {"again": base}],
    }


def checkpoint():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = OrderedDict((n, numbers(t.numel()).reshape(t.shape)) for n, t in model.state_dict().items())
    average = OrderedDict((n, t + 1000) for n, t in state.items())
    args = argparse.Namespace(lr=1e-4, mask=True, name="far_large", levels=[0, 2, 3], nothing=None, big=1 << 70)
    return {"model": state, "model_ema": average, "optimizer": optimizer.state_dict(), "epoch": 7, "args": args,
            "version": torch.__version__.__str__(), "size": torch.Size([2, 3]), "device": torch.device("cpu"),
            "dtype": torch.float16, "scaler": None, "rng": numpy.random.RandomState(1).get_state()}


def rewrite(source, target, change):
    """Copies an archive of stored entries; `change(name, data)` gives each entry's new contents, None to drop it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data)


def torch_files(folder):
    def at(name):
        return os.path.join(folder, name)

    def both(name, value):
        torch.save(value, at(name + ".pth"))
        torch.save(value, at(name + "_legacy.pth"), _use_new_zipfile_serialization=False)

    both("types", every_type())
    both("views", views())
    both("checkpoint", checkpoint())
    layer = torch.nn.Linear(3, 2)
    layer.load_state_dict({"weight": numbers(6).reshape(2, 3), "bias": numbers(2)})
    both("state_dict", layer.state_dict())
    torch.save(layer, at("module.pth"))
    for protocol in (3, 4, 5):
        torch.save(layer.state_dict(), at(f"protocol{protocol}.pth"), pickle_protocol=protocol)
    wrapped = {"module._orig_mod." + n: t for n, t in layer.state_dict().items()}
    torch.save({"model_state_dict": wrapped, "total_steps": 5}, at("wrapped.pth"))

    unread = {n: t.to_sparse() for n, t in layer.state_dict().items()}
    torch.save({"weight": unread["weight"], "bias": layer.bias.detach()}, at("sparse_weight.pth"))
    torch.save({"model": layer.state_dict(), "model_ema": unread}, at("sparse_average.pth"))

    some = {n: t for n, t in every_type().items() if n in ("float32", "float64", "bfloat16", "int16", "uint8")}
    torch.save(some, at("little.tmp"))

    def swap(name, data):
        key = name.rsplit("/", 1)[-1]
        if name.endswith("byteorder"):
            return b"big"
        if "/data/" in name:
            size = list(some.values())[int(key)].element_size()
            return b"".join(data[i:i + size][::-1] for i in range(0, len(data), size))
        return data

    rewrite(at("little.tmp"), at("big_endian.pth"), swap)
    for name, tensor in torch.load(at("big_endian.pth"), weights_only=True).items():
        assert torch.equal(tensor, some[name]), name

    def to_gpu(name, data):
        return data.replace(struct.pack("<cI3s", b"X", 3, b"cpu"), struct.pack("<cI6s", b"X", 6, b"cuda:1"))

    rewrite(at("little.tmp"), at("gpu.pth"), to_gpu)
    os.remove(at("little.tmp"))
    with zipfile.ZipFile(at("script.pt"), "w") as script:  # what tells a TorchScript program from a checkpoint
        for name in ("data.pkl", "constants.pkl"):
            script.writestr("archive/" + name, b"\x80\x02).")


def numpy_files(folder):
    def at(name):
        return os.path.join(folder, name)

    def array(dtype, shape=(2, 3)):
        i = (numpy.arange(numpy.prod(shape)) * 7 + 3) % 113
        i = i % 2 == 1 if dtype == "bool" else i if numpy.dtype(dtype).kind == "u" else i - 40
        return i.astype(dtype).reshape(shape)

    types = ["<f4", "<f8", "<f2", "<i8", "<i4", "<i2", "|i1", "|u1", "<u2", "<u4", "bool", "<u8", "<c8"]
    arrays = {numpy.dtype(t).name: array(t) for t in types}
    arrays["big_float32"] = array(">f4")
    arrays["big_int16"] = array(">i2")
    arrays["fortran"] = numpy.asfortranarray(array("<f4", (2, 3, 4)))
    arrays["big_fortran"] = numpy.asfortranarray(array(">f8", (2, 3, 4)))
    arrays["scalar"] = numpy.float32(2.5)
    arrays["empty"] = numpy.zeros((0, 3), "<f4")
    numpy.savez(at("arrays.npz"), **arrays)
    numpy.savez_compressed(at("arrays_compressed.npz"), **arrays)
    for version in (1, 2, 3):
        with open(at(f"version{version}.npy"), "wb") as file:
            numpy.lib.format.write_array(file, array("<f4"), version=(version, 0))
    numpy.save(at("objects.npy"), numpy.array([None, "text"], dtype=object), allow_pickle=True)
    numpy.save(at("records.npy"), numpy.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))


def pickles(folder):
    value = {"none": None, "true": True, "false": False, "small": 5, "medium": 70000, "negative": -3,
             "large": -(1 << 40), "huge": 1 << 80, "real": 0.1, "text": "a\u00e9\u20ac\n'\"\\ \U0001f600",
             "bytes": b"\x00\xff", "tuple": (1, (2, 3, 4, 5), ()), "list": [1, [2], []], "set": {7},
             "ordered": OrderedDict(a=1, b=2),
             "namespace": argparse.Namespace(lr=0.5, name="x"), "long text": "x" * 300}
    value["same"] = value["list"]
    for protocol in range(6):
        with open(os.path.join(folder, f"protocol{protocol}.pkl"), "wb") as file:
            pickle.dump(value, file, protocol)


def check(path):
    """Prints what PyTorch reads from a file that the library wrote: name, type, extents, strides, sum."""

    def show(value, name):
        if isinstance(value, torch.Tensor):
            print(name, str(value.dtype)[6:], list(value.shape), value.is_contiguous(), value.double().sum().item())
        elif isinstance(value, dict):
            for key, inner in value.items():
                show(inner, f"{name}.{key}" if name else key)
        else:
            print(name, value)

    show(torch.load(path, weights_only=True), "")
    mapped = {"mmap": True} if int(torch.__version__.split(".")[0]) >= 2 else {}
    show(torch.load(path, weights_only=True, **mapped), "mapped")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        check(sys.argv[2])
        sys.exit()
    if "--rewrite" in sys.argv[1:]:
        torch.save(torch.load(sys.argv[2], weights_only=True), sys.argv[3],
                   _use_new_zipfile_serialization=sys.argv[4] == "zip")
        sys.exit()
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch")
    os.makedirs(target, exist_ok=True)
    if "old" in sys.argv[2:]:  # the two formats as old versions wrote them
        for name, new in (("old_zip.pth", True), ("old_stream.pth", False)):
            content = {"types": every_type(), "views": views(), "checkpoint": checkpoint()}
            torch.save(content, os.path.join(target, name), _use_new_zipfile_serialization=new)
    else:
        torch_files(target)
        numpy_files(target)
        pickles(target)
