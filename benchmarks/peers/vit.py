"""The network and the training of examples/tutorial/08_own_network in PyTorch: vit.py [cifar10-train.tar|drawn] [steps] [batch].

It reads random numbers in place of pictures: only time and memory are compared."""
import sys
import torch
from torch import nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, w))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    def __init__(self, width=128, heads=4, depth=4):
        super().__init__()
        self.patch_embed = nn.Linear(48, width)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 64, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, images):
        patches = images.reshape(-1, 3, 8, 4, 8, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 64, 48)
        x = self.patch_embed(patches) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


steps, batch = int(sys.argv[2]), int(sys.argv[3])
network = Vit()
adam = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
for step in range(steps):
    images, labels = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
    loss = F.cross_entropy(network(images), labels)
    adam.zero_grad()
    loss.backward()
    adam.step()
    if step % 10 == 0 or step + 1 == steps:
        print(f"step {step:3d}: loss {loss.item():.3f}")
