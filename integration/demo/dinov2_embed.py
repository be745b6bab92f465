#!/usr/bin/env python3
"""Embeds two photographs with DINOv2 ViT-S/14 and says where PyTorch came from.

The model is built from its configuration. Without DINOV2_WEIGHTS its weights are random (seeded): the arithmetic, the
shapes and the time are those of the real model, the embedding means nothing. DINOV2_WEIGHTS names a file in the layout
of transformers' Dinov2Model, .safetensors or a PyTorch checkpoint. Nothing is fetched from the network.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2 as transforms
from transformers import Dinov2Config, Dinov2Model

SEED = 20230414  # of the random weights, so that two machines print the same embedding up to rounding
RUNS = 5  # timed passes of each image, after one that warms up

# ViT-S/14: the "small" row of table 16 of arXiv:2304.07193; 518 is the size of its position embeddings.
SMALL_14 = dict(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, mlp_ratio=4, patch_size=14, image_size=518)

# As DINOv2 was evaluated: shorter side 256, middle 224, channels normalised as for ImageNet.
PREPARE = transforms.Compose([
    transforms.ToImage(),
    transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC, antialias=True),
    transforms.CenterCrop(224),
    transforms.ToDtype(torch.float32, scale=True),
    transforms.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
])


def read_weights(path):
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def build(device):
    torch.manual_seed(SEED)
    model = Dinov2Model(Dinov2Config(**SMALL_14))
    path = os.environ.get("DINOV2_WEIGHTS")
    if not path:
        print(f"weights      random, seed {SEED} (name a file in DINOV2_WEIGHTS for real ones)")
    else:
        try:
            model.load_state_dict(read_weights(path))
        except (OSError, RuntimeError, ValueError, KeyError) as err:
            sys.exit(f"dinov2_embed: DINOV2_WEIGHTS={path}: {str(err).splitlines()[0]}")
        print(f"weights      {path}")
    return model.eval().to(device)


@torch.inference_mode()
def embed(model, image):
    """Returns the class token's embedding of one prepared image, on the CPU, and waits for the device."""
    return model(pixel_values=image.unsqueeze(0)).last_hidden_state[0, 0].cpu()


def milliseconds(model, image):
    """Returns the time of one pass, image already on the device, result back on the CPU."""
    start = time.perf_counter()
    embed(model, image)
    return 1000 * (time.perf_counter() - start)


def describe(device):
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads; CUDA is not available here)"


def main():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"python       {sys.executable} {sys.version.split()[0]}")
    print(f"torch        {torch.__version__}")
    print(f"torch from   {torch.__file__}")
    print(f"device       {describe(device)}")
    model = build(device)
    print(f"model        DINOv2 ViT-S/14, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters")

    samples = load_sample_images()
    embeddings = []
    for name, pixels in zip(samples.filenames, samples.images):
        image = PREPARE(Image.fromarray(pixels)).to(device)
        vector = embed(model, image)
        embeddings.append(vector)
        median = statistics.median(milliseconds(model, image) for _ in range(RUNS))
        print(f"{os.path.basename(name):<12} {vector.numel()} values, norm {vector.norm():.4f}, {median:.1f} ms (median of {RUNS})")
    print(f"cosine       {torch.nn.functional.cosine_similarity(*embeddings, dim=0):.6f} between the two photographs")


if __name__ == "__main__":
    main()
