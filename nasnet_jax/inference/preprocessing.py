"""From an image of any size to what a network was trained on, in NumPy.

It repeats what the evaluation pipelines of `nasnet_jax.data` do with TensorFlow, so that a served
network sees the pixels that it was measured with, and serving needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

_SYMMETRIC = 127.5
"""Mean and deviation that bring 0 to 255 to [-1, 1]."""
_INCEPTION_CENTRAL_FRACTION = 0.875


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How images become the input of a network.

    Attributes:
        image_size: Height and width in pixels of what the network gets.
        mean: Of each channel, on the scale 0 to 255; subtracted.
        std: Of each channel, on that scale; divided by.
        resize: How an image of another size is brought to `image_size`. `crop`: it is scaled, with
            antialiasing, until it covers that size, and its centre is cut out. `stretch`: it is
            scaled without regard to its aspect ratio and without antialiasing.
        central_fraction: Share of height and width that is cut out of the middle beforehand.

    Raises:
        ValueError: If a field is out of range.
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Literal["crop", "stretch"] = "crop"
    central_fraction: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(int(side) for side in self.image_size))
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ValueError(
                f"image_size is a height and a width in pixels, but it is {self.image_size}."
            )
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise ValueError(
                "mean and std have one number for each channel, and std is above 0, but they are "
                f"{self.mean} and {self.std}."
            )
        if self.resize not in ("crop", "stretch"):
            raise ValueError(f"resize is 'crop' or 'stretch', but it is {self.resize!r}.")
        if not 0 < self.central_fraction <= 1:
            raise ValueError(
                f"central_fraction is above 0 and at most 1, but it is {self.central_fraction}."
            )

    @classmethod
    def standardized(
        cls, image_size: tuple[int, int], mean: np.ndarray, std: np.ndarray
    ) -> Preprocessing:
        """Whitening by channel, as `nasnet_jax.data.standardize` does it.

        Args:
            image_size: Height and width in pixels.
            mean: `[channels]` on the scale 0 to 255, from `nasnet_jax.data.channel_statistics`.
            std: `[channels]`, from there too.
        """
        return cls(image_size=image_size, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    @classmethod
    def cifar(cls, image_size: tuple[int, int], channels: int = 3) -> Preprocessing:
        """Whole images in [-1, 1], as `nasnet_jax.data.cifar.eval_image` gives them."""
        symmetric = (_SYMMETRIC,) * channels
        return cls(image_size=image_size, mean=symmetric, std=symmetric)

    @classmethod
    def imagenet(cls, image_size: tuple[int, int], channels: int = 3) -> Preprocessing:
        """The central 87.5 % in [-1, 1], as `nasnet_jax.data.imagenet.eval_image` gives them."""
        symmetric = (_SYMMETRIC,) * channels
        return cls(
            image_size=image_size,
            mean=symmetric,
            std=symmetric,
            resize="stretch",
            central_fraction=_INCEPTION_CENTRAL_FRACTION,
        )

    @property
    def channels(self) -> int:
        """Channels of the images: 3 for colour, 1 for grey."""
        return len(self.mean)

    def to_data(self) -> dict[str, Any]:
        """Returns the fields as plain data for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Preprocessing:
        """Makes what `to_data` returned.

        Raises:
            ValueError: If a value is out of range.
            TypeError: If a field is missing or unknown.
        """
        return cls(**data)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Prepares one image.

        Args:
            image: `[height, width, channels]`: uint8, or floating point in [0, 1].

        Returns:
            float32 `[image height, image width, channels]`.

        Raises:
            ValueError: If the array is not such an image.
        """
        pixels = self._checked(image)
        pixels = _central_part(pixels, self.central_fraction)
        if pixels.shape[:2] != self.image_size:
            pixels = self._resized(pixels)
        return (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)

    def _checked(self, image: np.ndarray) -> np.ndarray:
        """The image as float32 on the scale 0 to 255."""
        if image.ndim != 3 or 0 in image.shape or image.shape[2] != self.channels:
            raise ValueError(
                f"An image is [height, width, channels] with {self.channels} channels, but this "
                f"array has the shape {list(image.shape)}."
            )
        if image.dtype == np.uint8:
            return image.astype(np.float32)
        # Not by NumPy's own kinds alone, to which bfloat16 is unknown.
        if image.dtype.kind == "f" or image.dtype.name == "bfloat16":
            pixels = image.astype(np.float32)
            # Written so that it is false for NaN too.
            if not (pixels.min() >= 0 and pixels.max() <= 1):
                raise ValueError(
                    "Floating-point images have values in [0, 1], but this one has values from "
                    f"{pixels.min()} to {pixels.max()}. Scale it, or give uint8 from 0 to 255; the "
                    "network's own scaling is applied for you."
                )
            return pixels * np.float32(255)
        raise ValueError(
            f"Images are uint8 from 0 to 255 or floating point in [0, 1], not {image.dtype}."
        )

    def _resized(self, pixels: np.ndarray) -> np.ndarray:
        height, width = self.image_size
        if self.resize == "stretch":
            return _resize(pixels, self.image_size, antialias=False)
        scale = max(height / pixels.shape[0], width / pixels.shape[1])
        scaled_height = max(round(pixels.shape[0] * scale), height)
        scaled_width = max(round(pixels.shape[1] * scale), width)
        pixels = _resize(pixels, (scaled_height, scaled_width), antialias=True)
        # To whole numbers, because the pipelines resize to uint8.
        pixels = np.clip(np.round(pixels), 0, 255)
        top, left = (scaled_height - height) // 2, (scaled_width - width) // 2
        return pixels[top : top + height, left : left + width]


def _central_part(pixels: np.ndarray, fraction: float) -> np.ndarray:
    """Cuts off equally many pixels, rounded down, at opposite sides."""
    rows, columns = (
        int(np.float32(side) * np.float32((1 - fraction) / 2)) for side in pixels.shape[:2]
    )
    return pixels[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns]


def _resize(pixels: np.ndarray, size: tuple[int, int], *, antialias: bool) -> np.ndarray:
    """Bilinear resizing with pixel centres at halves: `[h, w, channels]` to `[*size, channels]`."""
    for axis, length in enumerate(size):
        taps, weights = _bilinear_taps(pixels.shape[axis], length, antialias=antialias)
        shape = [1, 1, 1]
        shape[axis] = length
        total = np.zeros((*pixels.shape[:axis], length, *pixels.shape[axis + 1 :]), np.float32)
        for tap, weight in zip(taps, weights, strict=True):
            total += np.take(pixels, tap, axis) * weight.reshape(shape)
        pixels = total
    return pixels


def _bilinear_taps(
    length: int, new_length: int, *, antialias: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Which old positions make each new one, and their weights: two arrays `[taps, new_length]`.

    The weights fall linearly from the new position's centre to 0 at a distance of one pixel; with
    antialiasing, and where the image shrinks, of one new pixel.
    """
    step = length / new_length
    reach = max(step, 1.0) if antialias else 1.0
    centres = (np.arange(new_length) + 0.5) * step - 0.5
    first = np.floor(centres - reach).astype(int) + 1
    positions = first + np.arange(int(np.ceil(2 * reach)))[:, np.newaxis]
    weights = np.maximum(0.0, 1.0 - np.abs(positions - centres) / reach)
    weights[(positions < 0) | (positions >= length)] = 0
    weights /= weights.sum(0)
    return np.clip(positions, 0, length - 1), weights.astype(np.float32)
