"""Times each step from a JPEG file to a model's input with Pillow and NumPy, on one thread.

    pip install "pillow==13.0.0" numpy
    cargo build -p regulus-images --example speed
    python crates/images/examples/speed_pil.py target/debug/examples/speed

Without an argument: milliseconds per image, one line per step. With the built example as its argument: the two
take turns, and a table compares the best round of each.
"""

import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

REPETITIONS = 50
ROUNDS = 20
SIDE = 224
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def decode(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def square(image):
    short = min(image.size)
    image = image.resize([int(SIDE * side / short) for side in image.size], Image.Resampling.BICUBIC)
    left, top = round((image.width - SIDE) / 2), round((image.height - SIDE) / 2)
    return image.crop((left, top, left + SIDE, top + SIDE))


def normalise(image):
    values = np.asarray(image).astype(np.float32)
    values /= np.float32(255)
    values -= MEAN
    values /= STD
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def median(run):
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return sorted(times)[REPETITIONS // 2]


def pillow():
    data = Path(__file__).with_name("scene.jpg").read_bytes()
    image = decode(data)
    part = square(image)
    return {
        "decode": median(lambda: decode(data)),
        "resize and crop": median(lambda: square(image)),
        "normalise": median(lambda: normalise(part)),
        "all together": median(lambda: normalise(square(decode(data)))),
    }


def regulus(example):
    lines = subprocess.run([example], check=True, capture_output=True, text=True).stdout.splitlines()
    return {step: float(time) for step, time in (line.split(": ") for line in lines)}


def main():
    if len(sys.argv) < 2:
        for step, milliseconds in pillow().items():
            print(f"{step}: {milliseconds:.4f}")
        return
    rounds = [(regulus(sys.argv[1]), pillow()) for _ in range(ROUNDS)]
    print("| Step | Regulus, ms | Pillow, ms | Ratio |\n| --- | --- | --- | --- |")
    for step in rounds[0][0]:
        ours, theirs = (min(times[step] for times in column) for column in zip(*rounds))
        print(f"| {step} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.2f} |")


if __name__ == "__main__":
    main()
