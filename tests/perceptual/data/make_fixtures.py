#!/usr/bin/env python3
"""Records what PyTorch's networks give for weights and images of a closed formula, for the tests in tests/perceptual.

Needs: pip install torch torchvision lpips pytorch-fid torch-fidelity numpy safetensors pillow
Usage: make_fixtures.py [folder]

The formula is that of tests/support/fill.hpp; which base and scale a tensor gets is `rule` below and, the same in C++,
tests/perceptual/fixture.hpp. Everything is computed in float64 from weights rounded to float32. Of each result about
200 elements are kept, a fixed odd number apart; "state" in the metadata lists the reference's tensors and extents.

A unit so close to a kink (of a ReLU, or between two pixels of a maximum) that float32 takes the other side changes the
gradient by a percent of a small map. The images whose gradients are recorded are therefore chosen so that no unit is
nearer than about 2e-6 of its map's root mean square, where that is possible (not with ResNet-50 at 224×224).
Inception's last maximum has exact ties if the map is 2×1: a mean around either pixel is the mean of both.
"""

import collections
import json
import math
import pathlib
import sys

import lpips
import numpy as np
import pytorch_fid.inception
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.numpy import save_file
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)


def fill(name, shape, base=0.0, scale=1.0):
    seed = 0xCBF29CE484222325
    for letter in name.encode():
        seed = (seed ^ letter) * 0x100000001B3 % 2**64
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return torch.from_numpy((base + scale * (2 * u - 1)).astype(np.float32).astype(np.float64)).reshape(shape)


def rule(name, shape):
    if name.startswith("lin"):
        return 0.5, 0.5
    if len(shape) >= 2:
        return 0.0, math.sqrt(6.0 / math.prod(shape[1:]))
    if name.endswith("running_var"):
        return 1.0, 0.5
    if name.endswith(".weight"):
        return 1.0, 0.1
    return 0.0, 0.05


def fill_network(network):
    shapes = {}
    for name, tensor in network.state_dict().items():
        shapes[name] = list(tensor.shape)
        if not name.startswith("classifier") and not name.endswith("num_batches_tracked"):
            tensor.copy_(fill(name, tuple(tensor.shape), *rule(name, tuple(tensor.shape))))
    network.double().eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network, shapes


def sample(tensor):
    flat = tensor.detach().reshape(-1).numpy()
    return flat[:: len(flat) // 200 | 1].astype(np.float32)


def image(name, shape):
    return fill(name, shape).requires_grad_(True)


def save(name, tensors, shapes=None):
    metadata = {"state": json.dumps(shapes, separators=(",", ":"))} if shapes else {}
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, FOLDER / f"{name}.safetensors", metadata)


def feature_network(name, network, taps, size, lpips_name):
    network, shapes = fill_network(network)
    out = {}
    x = image("image", (1, 3, *size))
    y = x
    loss = 0.0
    for i, layer in enumerate(network.features):
        y = layer(y)
        if i in taps:
            tap = taps.index(i)
            y = y.clone()  # the next ReLU may work in place
            out[f"tap{tap}"] = sample(y)
            out[f"extents{tap}"] = np.array(y.shape, dtype=np.int64)
            loss = loss + (y * fill(f"cotangent{tap}", tuple(y.shape))).mean()
    loss.backward()
    out["gradient"] = sample(x.grad)

    metric = lpips.LPIPS(pretrained=False, net=lpips_name, pnet_rand=True, verbose=False).double().eval()
    own = {}
    for key, tensor in metric.state_dict().items():
        part = key.split(".")
        if part[0] == "net":
            tensor.copy_(network.state_dict()["features." + ".".join(part[2:])])
        elif part[0].startswith("lin") and part[0] != "lins":
            tensor.copy_(fill(key, tuple(tensor.shape), *rule(key, tuple(tensor.shape))))
            own[key] = list(tensor.shape)
    pair = (2, 3, *size)
    out["lpips"] = metric(fill("image", pair), fill("prediction", pair)).detach().reshape(-1).numpy()
    y = image("prediction", (1, 3, *size))
    metric(fill("image", (1, 3, *size)), y).sum().backward()
    out["lpips.gradient"] = sample(y.grad)
    save(name, out, {"network": shapes, "lpips": own})


def resnet50():
    network, shapes = fill_network(torchvision.models.resnet50(weights=None))
    body = torch.nn.Sequential(*list(network.children())[:-1])
    x = fill("image", (2, 3, 64, 80))
    out = {"features": sample(body(x)), "logits": sample(network(x))}
    x = image("image", (1, 3, 64, 48))
    (network(x) * fill("cotangent", (1, 1000))).mean().backward()
    out["gradient"] = sample(x.grad)

    def prepared(images):
        small = F.interpolate(images, (224, 224), mode="bilinear", antialias=True)
        mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
        deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
        return ((small + 1) / 2 - mean) / deviation

    x = fill("image", (1, 3, 256, 240))
    y = image("prediction", (1, 3, 256, 240))
    loss = ((network(prepared(x)) - network(prepared(y))) ** 2).mean()
    loss.backward()
    out["loss"] = np.array([loss.item()])
    out["loss.gradient"] = sample(y.grad)
    save("resnet50", out, {"network": shapes})


def inception():
    torchvision.models.Inception3.load_state_dict = lambda self, state: None
    pytorch_fid.inception.load_state_dict_from_url = lambda *args, **kwargs: {}
    n, shapes = fill_network(pytorch_fid.inception.fid_inception_v3())
    wrapped = pytorch_fid.inception.InceptionV3([3], resize_input=False, normalize_input=False).double().eval()
    # The wrapper builds a network of its own: give it the parts of the filled one, in its order.
    names = [
        ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", ""],
        ["Conv2d_3b_1x1", "Conv2d_4a_3x3", ""],
        [f"Mixed_{block}" for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")],
        ["Mixed_7a", "Mixed_7b", "Mixed_7c", ""],
    ]
    for block, parts in zip(wrapped.blocks, names, strict=True):
        for i, part in enumerate(parts):
            if part:
                assert type(block[i]) is type(getattr(n, part))
                block[i] = getattr(n, part)
    seen = []
    n.Mixed_6d.branch1x1.register_forward_hook(lambda module, args, y: seen.append(y))

    def run(images):
        features = wrapped(images)[0].flatten(1)
        return features, seen.pop()[:, :7].permute(0, 2, 3, 1).flatten(1)

    features, spatial = run(fill("image", (2, 3, 139, 123)))
    logits = n.fc(features)
    out = {
        "features": sample(features),
        "spatial": sample(spatial),
        "logits": sample(logits),
        "unbiased": sample(logits - n.fc.bias),
    }
    x = image("image", (1, 3, 91, 75))
    features, spatial = run(x)
    loss = (features * fill("cotangent", (1, 2048))).mean() + (spatial * fill("other", tuple(spatial.shape))).mean()
    loss.backward()
    out["gradient"] = sample(x.grad)
    save("inception", out, {"network": shapes})


def python2():
    """As the published LPIPS weights are stored: an OrderedDict that Python 2 pickled, in the old stream format."""

    class Old(collections.OrderedDict):
        def __reduce__(self):
            return (collections.OrderedDict, ([[key, value] for key, value in self.items()],))

    state = Old()
    for i, channels in enumerate((64, 192, 384, 256, 256)):
        name = f"lin{i}.model.1.weight"
        state[name] = fill(name, (1, channels, 1, 1), 0.5, 0.5).half()
    torch.save(state, FOLDER / "python2.pth", pickle_protocol=2, _use_new_zipfile_serialization=False)


def resize():
    out = {}
    x = fill("resize", (1, 3, 37, 50))
    for height, width in ((23, 31), (37, 64), (80, 50), (7, 9)):
        size = (height, width)
        key = f"{height}x{width}"
        out[f"bilinear.{key}"] = sample(F.interpolate(x, size, mode="bilinear", align_corners=False))
        out[f"bilinear_antialiased.{key}"] = sample(F.interpolate(x, size, mode="bilinear", antialias=True))
        out[f"bicubic_antialiased.{key}"] = sample(F.interpolate(x, size, mode="bicubic", antialias=True))
        planes = [Image.fromarray(p.numpy().astype(np.float32), "F") for p in x[0]]
        cubic = [np.asarray(p.resize((width, height), Image.Resampling.BICUBIC)) for p in planes]
        out[f"bicubic_pillow.{key}"] = sample(torch.from_numpy(np.stack(cubic)))
        corner = interpolate_bilinear_2d_like_tensorflow1x(x.float(), size, align_corners=False)
        out[f"bilinear_corner.{key}"] = sample(corner)
    save("resize", out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    resize()
    python2()
    models = torchvision.models
    feature_network("vgg16", models.vgg16(weights=None), [3, 8, 15, 22, 29], (32, 40), "vgg")
    feature_network("alexnet", models.alexnet(weights=None), [1, 4, 7, 9, 11], (71, 64), "alex")
    feature_network("squeezenet", models.squeezenet1_1(weights=None), [1, 4, 7, 9, 10, 11, 12], (60, 71), "squeeze")
    resnet50()
    inception()
