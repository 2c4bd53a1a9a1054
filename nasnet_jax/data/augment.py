"""Whitening and augmentation of a batch of images on the device, inside a compiled program.

A search keeps its images on the devices as uint8 and augments them in the program that trains the
children (paper, appendix A.1: whitening, random crops of a padded image, horizontal flips).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

COUNTED_IMAGES = 1024
"""At a time."""


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation of each channel over all pixels of all images.

    Args:
        images: `[number, height, width, channels]` uint8, the images that train.

    Returns:
        Two float32 arrays `[channels]` on the scale 0 to 255. A channel that never changes has the
        standard deviation 1, so that dividing by it leaves zeros.
    """
    channels = images.shape[-1]
    # A histogram has the exact answer without a copy of the data set as floating-point numbers; in
    # parts, since NumPy counts in a copy of eight bytes for one.
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(images), COUNTED_IMAGES):
        part = images[start : start + COUNTED_IMAGES]
        for channel in range(channels):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256, dtype=np.float64)
    pixels = counts.sum(axis=1)
    mean = counts @ values / pixels
    variance = (counts * (values - mean[:, np.newaxis]) ** 2).sum(axis=1) / pixels
    deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
    return mean.astype(np.float32), deviation.astype(np.float32)


def standardize(images: jax.Array, mean: ArrayLike, std: ArrayLike) -> jax.Array:
    """Whitens images: subtracts `mean` and divides by `std`, channel by channel.

    Args:
        images: `[..., channels]` uint8.
        mean: `[channels]` on the scale 0 to 255, as from `channel_statistics`.
        std: `[channels]`.

    Returns:
        float32 of the shape of `images`.
    """
    return (images.astype(jnp.float32) - mean) / std


def random_crop_flip(
    key: jax.Array, images: jax.Array, *, padding: int = 4, flip: bool = True
) -> jax.Array:
    """Shifts every image by up to `padding` pixels both ways, and mirrors half of them.

    Each image is padded by zeros on all sides and cropped back to its size at a place of its own.
    Images that were whitened before are thereby padded by the mean colour.

    Args:
        key: A typed random key.
        images: `[batch, height, width, channels]` of any type.
        padding: Pixels of padding on each side; the paper crops 32x32 from 40x40, which is 4.
        flip: Whether to mirror left and right with probability 1/2. Not for digits or letters.

    Returns:
        An array of the shape and type of `images`.
    """
    batch, height, width, channels = images.shape
    crop_key, flip_key = jax.random.split(key)
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = jax.random.randint(crop_key, (batch, 2), 0, 2 * padding + 1)
    crop = jax.vmap(
        lambda image, corner: jax.lax.dynamic_slice(
            image, (corner[0], corner[1], 0), (height, width, channels)
        )
    )
    cropped = crop(padded, corners)
    if not flip:
        return cropped
    mirrored = jax.random.bernoulli(flip_key, shape=(batch, 1, 1, 1))
    return jnp.where(mirrored, cropped[:, :, ::-1], cropped)
