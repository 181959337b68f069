#!/usr/bin/env python3
"""Records the cases far_oblong and flowmo_mlp beside this file: record_own.py. Needs PyTorch.

The original implementations have neither latents that are no squares nor MLPs of another ratio, so these cases come from
the definitions below, which share nothing with the library but the names of parameters. Parameters, inputs and the files
are as in the other cases (tests/support/fill.hpp): filled by formula, not stored.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
SUFFIX = "#own"
MASK = (1 << 64) - 1


def fill(name, shape, base=0.0, scale=1.0):
    seed = 0xCBF29CE484222325
    for byte in (name + SUFFIX).encode():
        seed = ((seed ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return torch.from_numpy((base + scale * (2 * u - 1)).astype(np.float32)).reshape(shape)


class Parameters:
    """Makes parameters as they are asked for, in double precision for the computation."""

    def __init__(self):
        self.rows = {}

    def __call__(self, name, *shape):
        if any(part in name for part in ("pos_embed", "mask_token", "fake_latent", "class_emb")) or (
                "index_cond_embed" in name and name.endswith("weight")):
            base, scale = 0.0, 0.05
        elif len(shape) >= 2:
            base, scale = 0.0, math.sqrt(3 / math.prod(shape[1:]))
        elif name.endswith("scale") or name.endswith(".weight"):
            base, scale = 1.0, 0.1
        else:
            base, scale = 0.0, 0.05
        values = fill(name, shape, base, scale).double()
        self.rows[name] = [list(shape), values.sum().item(), values.abs().sum().item()]
        return values

    def linear(self, name, out, inside):
        return lambda x, w=self(f"{name}.weight", out, inside), b=self(f"{name}.bias", out): x @ w.T + b

    def norm(self, name, width):
        w, b = self(f"{name}.weight", width), self(f"{name}.bias", width)
        return lambda x: F.layer_norm(x, (width,), w, b, 1e-6)


def write(case, tensors, config, rows):
    """CASE.safetensors and CASE.params.json."""
    config["fill_suffix"] = SUFFIX
    header = {"__metadata__": {"case": case, "config": json.dumps(config)}}
    data = b""
    for name, tensor in tensors.items():
        array = tensor.numpy()
        array = array.astype(np.int64 if array.dtype == np.int64 else np.float32)
        header[name] = {"dtype": "I64" if array.dtype == np.int64 else "F32", "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / f"{case}.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    (HERE / f"{case}.params.json").write_text(json.dumps(rows) + "\n")


def vit_blocks(p, stem, depth, hidden, heads, mlp):
    layers = []
    for i in range(depth):
        at = f"{stem}.{i}"
        layers.append((p.norm(f"{at}.norm1", hidden), p.linear(f"{at}.attn.qkv", 3 * hidden, hidden),
                       p.linear(f"{at}.attn.proj", hidden, hidden), p.norm(f"{at}.norm2", hidden),
                       p.linear(f"{at}.mlp.fc1", mlp, hidden), p.linear(f"{at}.mlp.fc2", hidden, mlp)))

    def run(x):
        for norm1, qkv, proj, norm2, fc1, fc2 in layers:
            q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv(norm1(x)).chunk(3, -1))
            weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
            x = x + proj((weights @ v).transpose(1, 2).flatten(2))
            x = x + fc2(F.gelu(fc1(norm2(x))))
        return x

    return run


def far_oblong():
    """4 x 6 latents, patches of 2 x 2; a decoder narrower than the encoder; MLPs of 2.5 times the width; hidden tokens."""
    channels, height, width, patch, buffer, classes = 3, 4, 6, 2, 2, 1000
    enc, dec, head = [24, 2, 3], [16, 1, 2], [1, 8]  # hidden, depth, heads; depth and width of the diffusion MLP
    tokens, values, ratio, core, rate, labels = 6, 12, 2.5, 3, 0.3, [3, 977]
    p = Parameters()
    h, g = enc[0], dec[0]
    p("fake_latent", 1, h)
    mask_token = p("mask_token", 1, 1, g)
    z_proj, z_norm = p.linear("z_proj", h, values), p.norm("z_proj_ln", h)
    positions = p("encoder_pos_embed_learned", 1, buffer + tokens, h)
    encoder = vit_blocks(p, "encoder_blocks", enc[1], h, enc[2], int(h * ratio))
    encoder_norm, embed = p.norm("encoder_norm", h), p.linear("decoder_embed", g, h)
    decoder_positions = p("decoder_pos_embed_learned", 1, buffer + tokens, g)
    decoder = vit_blocks(p, "decoder_blocks", dec[1], g, dec[2], int(g * ratio))
    decoder_norm, last = p.norm("decoder_norm", g), p("diffusion_pos_embed_learned", 1, tokens, g)
    table = p("class_emb.weight", classes, h)
    w = head[1]  # the diffusion MLP is not run, but the model has it
    for name, shape in {"time_embed.mlp.0": (w, 256), "time_embed.mlp.2": (w, w), "cond_embed": (w, g),
                        "index_cond_embed": (w, 1), "input_proj": (w, values), "res_blocks.0.mlp.0": (w, w),
                        "res_blocks.0.mlp.2": (w, w), "res_blocks.0.adaLN_modulation.1": (3 * w, w),
                        "final_layer.linear": (2 * values, w), "final_layer.adaLN_modulation.1": (2 * w, w)}.items():
        p.linear(f"diffloss.net.{name}", *shape)
    p.norm("diffloss.net.res_blocks.0.in_ln", w)

    latent = fill("far.latent", (2, channels, height, width), 0, 1.5)
    # Level `core` of the shorter side; the longer one in proportion, halves rounded up.
    small = F.adaptive_avg_pool2d(latent.double(), (core, math.floor(core * width / height + 0.5)))
    low = F.interpolate(small, (height, width), mode="bicubic")
    x = low.unflatten(2, (height // patch, patch)).unflatten(4, (width // patch, patch))
    x = x.permute(0, 2, 4, 1, 3, 5).reshape(2, tokens, values)
    orders = torch.tensor([[4, 0, 5, 2, 1, 3], [1, 3, 2, 5, 0, 4]])
    hidden = math.ceil(tokens * rate)
    mask = torch.zeros(2, tokens).scatter(1, orders[:, :hidden], 1.0)

    y = torch.cat([table[labels][:, None].expand(2, buffer, h), z_proj(x)], 1) + positions
    y = z_norm(y)
    kept = [torch.cat([torch.arange(buffer), buffer + torch.where(row == 0)[0]]) for row in mask]
    encoded = encoder_norm(encoder(torch.stack([sample[rows] for sample, rows in zip(y, kept)])))
    full = mask_token.expand(2, buffer + tokens, g).clone()
    for sample, rows, values_of in zip(full, kept, embed(encoded)):
        sample[rows] = values_of
    z = decoder_norm(decoder(full + decoder_positions))[:, buffer:] + last
    write("far_oblong", {"latent": latent, "labels": torch.tensor(labels), "orders": orders, "x_tokens": x, "mask": mask,
                         "eval.encoder_out": encoded, "eval.z": z},
          {"core": core, "rate": rate, "mask": True, "mlp_ratio": ratio}, p.rows)


def rotate(x, angles):
    """Adjacent pairs of the last axis, turned by angles [tokens, pairs]."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1).flatten(-2)


def flowmo_mlp():
    """An 8 x 12 image, two heads, MLPs of 2.5 times the width in the encoder (1.5 in the decoder, which is not run)."""
    height, width, patch, length, bits, group = 8, 12, 4, 3, 6, 3
    heads, axes, size, depth = 2, (4, 14, 14), 32, 2
    p = Parameters()

    def declare(side, inside, ratio, blocks):
        h = heads * size
        mlp = int(h * ratio)
        out = {"img_in": p.linear(f"{side}.img_in", h, 3 * patch**2), "txt_in": p.linear(f"{side}.txt_in", h, inside)}
        p.linear(f"{side}.time_in.in_layer", h, 256)
        p.linear(f"{side}.time_in.out_layer", h, h)
        for i in range(blocks):
            for stream in ("img", "txt"):
                at = f"{side}.double_blocks.{i}.{stream}"
                p.linear(f"{at}_mod.lin", 6 * h, h)
                out[i, stream] = (p.linear(f"{at}_attn.qkv", 3 * h, h), p(f"{at}_attn.norm.query_norm.scale", size),
                                  p(f"{at}_attn.norm.key_norm.scale", size), p.linear(f"{at}_attn.proj", h, h),
                                  p.linear(f"{at}_mlp.0", mlp, h), p.linear(f"{at}_mlp.2", h, mlp))
        for stream, width_out in (("img", 3 * patch**2), ("txt", inside)):
            out["final", stream] = p.linear(f"{side}.final_layer_{stream}.linear", width_out, h)
            p.linear(f"{side}.final_layer_{stream}.adaLN_modulation.1", 2 * h, h)
        return out

    net = declare("encoder", bits, 2.5, depth)
    declare("decoder", bits + 1, 1.5, 1)
    image = fill("input.image", (1, 3, height, width))
    patches = image.double().unflatten(2, (height // patch, patch)).unflatten(4, (width // patch, patch))
    patches = patches.permute(0, 2, 4, 3, 5, 1).reshape(1, -1, 3 * patch**2)
    ids = [(n, n, n) for n in range(length)]
    ids += [(0, r, c) for r in range(height // patch) for c in range(width // patch)]
    angles = torch.cat([torch.tensor([[at[axis] * 10000.0 ** (-2 * k / d) for k in range(d // 2)] for at in ids],
                                     dtype=torch.float64) for axis, d in enumerate(axes)], 1)
    x = {"txt": net["txt_in"](torch.zeros(1, length, bits, dtype=torch.float64)), "img": net["img_in"](patches)}
    tensors = {"image": image, "enc.img_in": x["img"], "enc.txt_in": x["txt"]}
    plain = lambda v: F.layer_norm(v, (heads * size,), eps=1e-6)
    rms = lambda v, gain: v / (v.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * gain
    for i in range(depth):
        parts = {}
        for stream in ("txt", "img"):
            qkv, gain_q, gain_k, *_ = net[i, stream]
            q, k, v = (part.unflatten(-1, (heads, size)).transpose(1, 2) for part in qkv(plain(x[stream])).chunk(3, -1))
            parts[stream] = (rms(q, gain_q), rms(k, gain_k), v)
        q, k, v = (torch.cat([parts["txt"][j], parts["img"][j]], 2) for j in range(3))
        weights = (rotate(q, angles) @ rotate(k, angles).transpose(-1, -2) * (8 / size)).softmax(-1)
        attended = (weights @ v).transpose(1, 2).flatten(2)
        for stream, own in (("txt", attended[:, :length]), ("img", attended[:, length:])):
            *_, proj, up, down = net[i, stream]
            y = x[stream] + proj(own)
            x[stream] = y + down(F.gelu(up(plain(y)), approximate="tanh"))
            tensors[f"enc.block{i}.{stream}"] = x[stream]
    code = net["final", "txt"](plain(x["txt"]))
    signs = (code > 0).to(torch.int64)
    grouped = signs.unflatten(-1, (group, bits // group)).transpose(-1, -2)  # [batch, token, codeword, bit]
    indices = (grouped * 2 ** torch.arange(group)).sum(-1).flatten()
    tensors |= {"code": code, "quantized_eval": 2.0 * signs - 1, "indices_eval": indices,
                "quantizer_loss_eval": torch.zeros(1)}
    assert code.abs().min() > 1e-3, "a code too close to zero to be sure of its sign"
    write("flowmo_mlp", tensors, {"mlp_ratio": 2.5}, p.rows)


far_oblong()
flowmo_mlp()
