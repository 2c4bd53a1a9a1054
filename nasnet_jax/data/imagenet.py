"""How images of natural size are prepared: Inception's crops and colours.

The constants are those of TF-slim's `inception_preprocessing` in its fast mode, with which the
authors trained the published networks. Values end in [-1, 1].
"""

from __future__ import annotations

from nasnet_jax.data import decoding
from nasnet_jax.data.decoding import Tensor
from nasnet_jax.data.tensorflow_cpu import tf

_MIN_OBJECT_COVERED = 0.1
_ASPECT_RATIO_RANGE = (0.75, 1.33)
_AREA_RANGE = (0.05, 1.0)
_MAX_ATTEMPTS = 100
_MAX_BRIGHTNESS_DELTA = 32 / 255
_SATURATION_RANGE = (0.5, 1.5)
_BRIGHTNESS_FIRST = 0.25
"""One of the four orders that TF-slim draws from changes brightness first, three saturation."""
_CENTRAL_FRACTION = 0.875


def train_image(
    image: Tensor,
    channels: int,
    seed: Tensor,
    *,
    size: int,
    flip: bool = True,
    colour: bool = True,
) -> Tensor:
    """Cuts out a random window, resizes it, mirrors half of the images and changes colours.

    The window covers 5 to 100 % of the image with an aspect ratio between 0.75 and 1.33. It is
    resized without regard to that ratio.

    Args:
        image: The contents of an image file, or uint8 `[height, width, channels]`.
        channels: Channels of the decoded image; only colour images (3) have a saturation to change.
        seed: int64 `[2]`; equal seeds give equal results.
        size: Height and width of the result.
        flip: Whether to mirror left and right with probability 1/2.
        colour: Whether to change brightness and saturation.

    Returns:
        float32 `[size, size, channels]` in [-1, 1].
    """
    window_seed, flip_seed, colour_seed = tf.unstack(tf.random.split(seed, 3))
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        decoding.shape(image, channels),
        bounding_boxes=tf.zeros([1, 0, 4]),
        seed=window_seed,
        min_object_covered=_MIN_OBJECT_COVERED,
        aspect_ratio_range=_ASPECT_RATIO_RANGE,
        area_range=_AREA_RANGE,
        max_attempts=_MAX_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.concat([begin[:2], extent[:2]], axis=0)
    image = decoding.decode_crop(image, window, channels)
    image = tf.image.resize(tf.cast(image, tf.float32), [size, size]) / 255
    if flip:
        image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    if colour:
        image = _change_colours(image, channels, colour_seed)
    return _finish(image, size, channels)


def eval_image(image: Tensor, channels: int, *, size: int) -> Tensor:
    """Cuts out the central 87.5 % of height and width and resizes them.

    Args:
        image: The contents of an image file, or uint8 `[height, width, channels]`.
        channels: Channels of the decoded image.
        size: Height and width of the result.

    Returns:
        float32 `[size, size, channels]` in [-1, 1].
    """
    sides = decoding.shape(image, channels)[:2]
    begin = tf.cast(tf.cast(sides, tf.float32) * ((1 - _CENTRAL_FRACTION) / 2), tf.int32)
    window = tf.concat([begin, sides - 2 * begin], axis=0)
    image = decoding.decode_crop(image, window, channels)
    image = tf.image.resize(tf.cast(image, tf.float32), [size, size]) / 255
    return _finish(image, size, channels)


def _change_colours(image: Tensor, channels: int, seed: Tensor) -> Tensor:
    """Changes brightness and saturation of an image in [0, 1], in one of the two orders."""
    order_seed, brightness_seed, saturation_seed = tf.unstack(tf.random.split(seed, 3))

    def brightness(image: Tensor) -> Tensor:
        return tf.image.stateless_random_brightness(image, _MAX_BRIGHTNESS_DELTA, brightness_seed)

    def saturation(image: Tensor) -> Tensor:
        return tf.image.stateless_random_saturation(image, *_SATURATION_RANGE, saturation_seed)

    if channels != 3:
        return brightness(image)
    return tf.cond(
        tf.random.stateless_uniform([], order_seed) < _BRIGHTNESS_FIRST,
        lambda: saturation(brightness(image)),
        lambda: brightness(saturation(image)),
    )


def _finish(image: Tensor, size: int, channels: int) -> Tensor:
    """Brings an image from [0, 1] to [-1, 1]."""
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 1.0) * 2 - 1, [size, size, channels])
