"""How small images are prepared for training and evaluation: shifts, flips and cutout.

As in Google's AdaNet example that trains NASNet-A on CIFAR-10 (`research/improve_nas`). The paper's
appendix A.1 agrees as far as it goes, and gives no size of the cutout. Values are in [-1, 1], so
that the zeros of padding and cutout are a medium grey.
"""

from __future__ import annotations

from nasnet_jax.data import decoding
from nasnet_jax.data.decoding import Tensor
from nasnet_jax.data.tensorflow_cpu import tf


def train_image(
    image: Tensor,
    channels: int,
    seed: Tensor,
    *,
    size: int,
    padding: int = 4,
    flip: bool = True,
    cutout: int = 16,
) -> Tensor:
    """Shifts an image by up to `padding` pixels, mirrors half of the images, and cuts out a square.

    Args:
        image: The contents of an image file, or uint8 `[height, width, channels]`.
        channels: Channels of the decoded image.
        seed: int64 `[2]`; equal seeds give equal results.
        size: Height and width of the result; images of another size are resized first.
        padding: Pixels of zeros added on each side before a random crop back to `size`.
        flip: Whether to mirror left and right with probability 1/2. Not for digits or letters.
        cutout: Side of the square of zeros; its centre is anywhere in the image, so a part of it
            may lie outside. 0 for none.

    Returns:
        float32 `[size, size, channels]` in [-1, 1].
    """
    flip_seed, crop_seed, cutout_seed = tf.unstack(tf.random.split(seed, 3))
    image = eval_image(image, channels, size=size)
    if flip:
        image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    image = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
    image = tf.image.stateless_random_crop(image, [size, size, channels], crop_seed)
    if cutout:
        centre = tf.random.stateless_uniform([2], cutout_seed, 0, size, tf.int32)
        distance = tf.range(size)[:, tf.newaxis] - centre
        inside = (distance >= -(cutout // 2)) & (distance < cutout - cutout // 2)
        hole = inside[:, tf.newaxis, 0] & inside[tf.newaxis, :, 1]
        image = tf.where(hole[..., tf.newaxis], 0.0, image)
    return image


def eval_image(image: Tensor, channels: int, *, size: int) -> Tensor:
    """Brings an image to `size` x `size`, where it is not, and to [-1, 1].

    Args:
        image: The contents of an image file, or uint8 `[height, width, channels]`.
        channels: Channels of the decoded image.
        size: Height and width of the result.

    Returns:
        float32 `[size, size, channels]` in [-1, 1].
    """
    image = decoding.resize_square(decoding.decode(image, channels), size)
    return tf.ensure_shape(tf.cast(image, tf.float32) / 127.5 - 1, [size, size, channels])
