"""The arithmetic of FlowMo, FAR and KL-16 in PyTorch, at the sizes of compare.py's rows.

Written for timing: random weights, the operations and shapes of the public reference implementations in the form in
which PyTorch is fastest on them (fused attention, fused layer norm, no dropout).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.scale.to(x.dtype), 1e-6)


def rotate(x, cos, sin):
    """Rotary embedding of adjacent pairs: x [batch, heads, tokens, size], cos and sin [tokens, size / 2]."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


class Stream(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.mod = nn.Linear(hidden, 6 * hidden)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.query_norm = RmsNorm(hidden // heads)
        self.key_norm = RmsNorm(hidden // heads)
        self.proj = nn.Linear(hidden, hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)

    def modulation(self, vec):
        if vec is None:
            return None
        return self.mod(F.silu(vec))[:, None].chunk(6, -1)

    @staticmethod
    def normalize(x, shift, scale):
        return torch.addcmul(shift, 1 + scale, F.layer_norm(x, x.shape[-1:], eps=1e-6))

    def project(self, x, m):
        y = self.normalize(x, m[0], m[1]) if m else F.layer_norm(x, x.shape[-1:], eps=1e-6)
        q, k, v = self.qkv(y).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.query_norm(q), self.key_norm(k), v

    def finish(self, x, attended, m):
        if not m:
            x = x + self.proj(attended)
            y = F.layer_norm(x, x.shape[-1:], eps=1e-6)
            return x + self.down(F.gelu(self.up(y), approximate="tanh"))
        x = x + m[2] * self.proj(attended)
        y = self.normalize(x, m[3], m[4])
        return x + m[5] * self.down(F.gelu(self.up(y), approximate="tanh"))


class DoubleBlock(nn.Module):
    """FlowMo's block: image and code tokens with weights of their own attend jointly."""

    def __init__(self, hidden, heads):
        super().__init__()
        self.scale = 8.0 / (hidden // heads)
        self.image = Stream(hidden, heads)
        self.code = Stream(hidden, heads)

    def forward(self, image, code, vec, cos, sin):
        mi, mc = self.image.modulation(vec), self.code.modulation(vec)
        q, k, v = (torch.cat(pair, 2) for pair in zip(self.code.project(code, mc), self.image.project(image, mi)))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale).transpose(1, 2).flatten(2)
        codes = code.shape[1]
        return self.image.finish(image, y[:, codes:], mi), self.code.finish(code, y[:, :codes], mc)


class FlowMoNet(nn.Module):
    """FlowMo's transformer: patches and code in, both out."""

    def __init__(self, hidden, heads, depth, patch_dim, code_in, code_out, timed):
        super().__init__()
        self.hidden = hidden
        self.img_in = nn.Linear(patch_dim, hidden)
        self.txt_in = nn.Linear(code_in, hidden)
        self.time_in = nn.Sequential(nn.Linear(256, hidden), nn.SiLU(), nn.Linear(hidden, hidden)) if timed else None
        self.blocks = nn.ModuleList(DoubleBlock(hidden, heads) for _ in range(depth))
        self.final_img = nn.Linear(hidden, patch_dim)
        self.final_txt = nn.Linear(hidden, code_out)
        self.modulation = nn.Linear(hidden, 2 * hidden)

    def forward(self, patches, code, t, cos, sin):
        vec = None
        if self.time_in is not None:
            w = torch.exp(-math.log(10000.0) * torch.arange(128) / 128)
            angle = 1000.0 * t[:, None] * w
            vec = self.time_in(torch.cat((angle.cos(), angle.sin()), -1).to(patches.dtype))
        x, c = self.img_in(patches), self.txt_in(code)
        for block in self.blocks:
            x, c = block(x, c, vec, cos, sin)
        if vec is None:
            return self.final_txt(F.layer_norm(c, c.shape[-1:], eps=1e-6))
        shift, scale = self.modulation(F.silu(vec))[:, None].chunk(2, -1)
        y = torch.addcmul(shift, 1 + scale, F.layer_norm(x, x.shape[-1:], eps=1e-6))
        return self.final_img(F.layer_norm(y, y.shape[-1:], eps=1e-6))


class FlowMo(nn.Module):
    """The autoencoder with the sizes of one of the library's configurations."""

    def __init__(self, size, patch, tokens, context, bits, encoder, decoder):
        super().__init__()
        self.size, self.patch, self.tokens, self.context, self.bits = size, patch, tokens, context, bits
        patch_dim = 3 * patch * patch
        self.encoder = FlowMoNet(*encoder, patch_dim, context, context, False)
        self.decoder = FlowMoNet(*decoder, patch_dim, context + 1, context + 1, True)
        count = tokens + (size // patch) ** 2
        for name, (hidden, heads, _) in (("encoder", encoder), ("decoder", decoder)):
            angles = torch.rand(count, hidden // heads // 2)
            self.register_buffer(name + "_cos", angles.cos(), persistent=False)
            self.register_buffer(name + "_sin", angles.sin(), persistent=False)

    def patchify(self, images):
        p = self.patch
        return images.unflatten(3, (-1, p)).unflatten(2, (-1, p)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def encode(self, images):
        blank = torch.zeros(images.shape[0], self.tokens, self.context, dtype=images.dtype)
        return self.encoder(self.patchify(images), blank, None, self.encoder_cos, self.encoder_sin)

    def velocity(self, patches, code, t):
        return self.decoder(patches, code, t, self.decoder_cos, self.decoder_sin)

    def loss(self, images):
        """Stage 1A without the perceptual term; the quantizer's loss by the softmax over all codewords."""
        batch = images.shape[0]
        code = self.encode(images)
        quantized = code + (torch.where(code > 0, 1.0, -1.0) - code).detach()
        full = torch.cat((quantized, torch.ones_like(quantized[..., :1])), -1)
        t = torch.sigmoid(torch.randn(batch))
        x = self.patchify(images)
        noise = torch.randn_like(x)
        z = (1 - t)[:, None, None] * x + t[:, None, None] * noise
        v = self.velocity(z, full, t)
        return F.mse_loss(v, noise - x) + lfq_loss(code, self.bits)

    def reconstruct(self, images):
        return self.decode(torch.where(self.encode(images) > 0, 1.0, -1.0).to(images.dtype))

    def decode(self, code, steps=25, guidance=1.5, interval=(0.17 / 1.17, 1.02 / 2.02)):
        """A code of signs to patches of an image."""
        full = torch.cat((code, torch.ones_like(code[..., :1])), -1)
        both = torch.cat((full, torch.zeros_like(full)))
        z = torch.randn(len(code), (self.size // self.patch) ** 2, 3 * self.patch * self.patch, dtype=code.dtype)
        times = [((steps - i) / steps) ** 4 for i in range(steps + 1)]
        for now, after in zip(times, times[1:]):
            if interval[0] <= now <= interval[1]:
                v = self.velocity(torch.cat((z, z)), both, torch.full((2 * len(z),), now))
                with_code, without = v.chunk(2)
                v = without + guidance * (with_code - without)
            else:
                v = self.velocity(z, full, torch.full((len(z),), now))
            z = z - (now - after) * v
        return z.clamp(-1, 1)


def training_step(model, images, mixed, **adam_options):
    """A function that makes one step: forward, backward, Adam and the average of the weights; mixed: by autocast to
    bf16 with f32 weights. It may be called where gradients are switched off."""
    average = [p.detach().clone() for p in model.parameters()]
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.95), **adam_options)

    def step(images=images):
        with torch.enable_grad():
            with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed):
                loss = model.loss(images)
            loss.backward()
        adam.step()
        adam.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(model.parameters()), 0.001)

    return step


def lfq_loss(code, bits):
    """Entropy and commitment losses of the published quantizer: a softmax over all 2^bits codewords."""
    x = code.float().unflatten(-1, (bits, -1)).transpose(-1, -2).reshape(-1, bits)
    index = torch.arange(1 << bits)
    words = ((index[:, None] >> torch.arange(bits)) & 1).float() * 2 - 1
    p = (2 * x @ words.T / 0.1).softmax(-1)
    sample = -(p * (p + 1e-9).log()).sum(-1).mean()
    mean = p.mean(0)
    batch = -(mean * (mean + 1e-5).log()).sum()
    q = torch.where(x > 0, 1.0, -1.0)
    return 0.0025 * (sample - batch) + 0.000625 * F.mse_loss(x, q)


class VitBlock(nn.Module):
    """FAR's pre-norm transformer block."""

    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(hidden, eps=1e-6)
        self.norm2 = nn.LayerNorm(hidden, eps=1e-6)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class ResBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, x, y):
        shift, scale, gate = self.modulation(y).chunk(3, -1)
        return x + gate * self.mlp(torch.addcmul(shift, self.norm(x), 1 + scale))


class DiffusionMlp(nn.Module):
    """FAR's denoising network: tokens [rows, channels], times [rows], conditions [rows, hidden]."""

    def __init__(self, channels, width, depth, hidden):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.Linear(hidden, width)
        self.level = nn.Linear(1, width)
        self.input = nn.Linear(channels, width)
        self.blocks = nn.ModuleList(ResBlock(width) for _ in range(depth))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.out = nn.Linear(width, 2 * channels)

    def forward(self, x, t, z, level):
        w = torch.exp(-math.log(10000.0) * torch.arange(128) / 128)
        angle = t[:, None] * w
        y = self.time(torch.cat((angle.cos(), angle.sin()), -1).to(x.dtype)) + self.condition(z) + self.level(level)
        x = self.input(x)
        for block in self.blocks:
            x = block(x, y)
        shift, scale = self.modulation(y).chunk(2, -1)
        return self.out(torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale))


class Far(nn.Module):
    """FAR's transformer and denoising network: images of classes, one frequency level after the other."""

    def __init__(self, side, channels, buffer, hidden, heads, depth, head_width, head_depth, classes=1000):
        super().__init__()
        self.side, self.channels, self.buffer = side, channels, buffer
        count = side * side
        self.classes = nn.Embedding(classes, hidden)
        self.null = nn.Parameter(torch.zeros(1, hidden))
        self.encoder_positions = nn.Parameter(torch.zeros(1, buffer + count, hidden))
        self.decoder_positions = nn.Parameter(torch.zeros(1, buffer + count, hidden))
        self.token_positions = nn.Parameter(torch.zeros(1, count, hidden))
        self.embed = nn.Linear(channels, hidden)
        self.embed_norm = nn.LayerNorm(hidden, eps=1e-6)
        self.encoder = nn.ModuleList(VitBlock(hidden, heads) for _ in range(depth))
        self.encoder_norm = nn.LayerNorm(hidden, eps=1e-6)
        self.decoder_embed = nn.Linear(hidden, hidden)
        self.decoder = nn.ModuleList(VitBlock(hidden, heads) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(hidden, eps=1e-6)
        self.net = DiffusionMlp(channels, head_width, head_depth, hidden)

    def conditions(self, tokens, classes):
        """Tokens [batch, count, channels] and class vectors [batch, hidden] to [batch, count, hidden]."""
        x = torch.cat((classes[:, None].expand(-1, self.buffer, -1), self.embed(tokens)), 1)
        x = self.embed_norm(x + self.encoder_positions)
        for block in self.encoder:
            x = block(x)
        x = self.decoder_embed(self.encoder_norm(x)) + self.decoder_positions
        for block in self.decoder:
            x = block(x)
        return self.decoder_norm(x)[:, self.buffer:] + self.token_positions

    def sample(self, labels, levels=(0, 2, 3, 4, 5, 6, 7, 8, 9, 10), steps=100, guidance=3.0):
        """Guidance grows linearly from 1 over the levels; both its branches are one batch."""
        batch, count, dtype = len(labels), self.side * self.side, self.null.dtype
        classes = torch.cat((self.classes(labels), self.null.expand(batch, -1)))
        kept = torch.linspace(0, 999, steps).round()
        bar = torch.cos((kept / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
        before = torch.cat((torch.ones(1), bar[:-1]))
        tokens = torch.zeros(batch, count, self.channels, dtype=dtype)
        for k, level in enumerate(levels):
            scale = 1 + (guidance - 1) * k / max(1, len(levels) - 1)
            two = 2 if scale != 1 else 1
            z = self.conditions(tokens.repeat(two, 1, 1), classes[: two * batch]).flatten(0, 1)
            levels_of = torch.full((len(z), 1), float(level), dtype=dtype)
            x = torch.randn(batch * count, self.channels, dtype=dtype)
            for i in reversed(range(steps)):
                out = self.net(x.repeat(two, 1), kept[i].expand(len(z)), z, levels_of)
                epsilon, v = out.chunk(2, -1)
                if two == 2:
                    with_class, without = epsilon.chunk(2)
                    epsilon, v = without + scale * (with_class - without), v[: len(x)]
                x = self.reverse(x.float(), epsilon.float(), v.float(), bar[i], before[i], i > 0).to(dtype)
            image = x.unflatten(0, (batch, count)).transpose(1, 2).unflatten(-1, (self.side, self.side))
            if k + 1 < len(levels):
                small = F.interpolate(image, size=(levels[k + 1] + 1,) * 2, mode="area")
                image = F.interpolate(small, size=(self.side,) * 2, mode="bicubic")
            tokens = image.flatten(2).transpose(1, 2)
        return image

    @staticmethod
    def reverse(x, epsilon, v, bar, before, noisy):
        beta = 1 - bar / before
        start = (x - (1 - bar).sqrt() * epsilon) / bar.sqrt()
        mean = before.sqrt() * beta / (1 - bar) * start + (1 - beta).sqrt() * (1 - before) / (1 - bar) * x
        least = (beta * (1 - before) / (1 - bar)).clamp(min=1e-20).log()
        variance = (v + 1) / 2 * beta.log() + (1 - (v + 1) / 2) * least
        return mean + (0.5 * variance).exp() * torch.randn_like(x) if noisy else mean


class VaeResBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1 = nn.GroupNorm(32, inputs, eps=1e-6)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(32, outputs, eps=1e-6)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x):
        y = self.conv1(F.silu(self.norm1(x)))
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(y)))


class VaeAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)[:, None].chunk(3, -1)
        y = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(-1, x.shape[-2:])
        return x + self.proj(y)


class VaeDecoder(nn.Module):
    """The decoder of KL-16: latents [batch, 16, 16, 16] to images [batch, 3, 256, 256]."""

    def __init__(self, channels=128, multipliers=(1, 1, 2, 2, 4)):
        super().__init__()
        width = channels * multipliers[-1]
        layers = [nn.Conv2d(16, 16, 1), nn.Conv2d(16, width, 3, padding=1)]
        layers += [VaeResBlock(width, width), VaeAttention(width), VaeResBlock(width, width)]
        for level in reversed(range(len(multipliers))):
            out = channels * multipliers[level]
            for _ in range(3):
                layers.append(VaeResBlock(width, out))
                width = out
                if level == len(multipliers) - 1:
                    layers.append(VaeAttention(width))
            if level > 0:
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1)]
        layers += [nn.GroupNorm(32, width, eps=1e-6), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z):
        return self.layers(z)
