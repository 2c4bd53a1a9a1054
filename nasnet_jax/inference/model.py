"""A trained network ready for use: images of any size in, probabilities and features out."""

from __future__ import annotations

import dataclasses
import itertools
import operator
import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from nasnet_jax.data.image_file import image_pixels, open_image
from nasnet_jax.inference.description import ModelDescription
from nasnet_jax.inference.folding import fold_batch_norm
from nasnet_jax.inference.saved_model import read_network
from nasnet_jax.nn.nasnet import NASNet

Picture = np.ndarray | jax.Array | Image.Image | str | os.PathLike[str] | IO[bytes]
"""One image: an array `[height, width, channels]`, uint8 or floating point in [0, 1]; Pillow's; or a
file, opened or by its path, which is decoded as `open_image` does."""

Images = Picture | Iterable[Picture]
"""One image, a batch of them as an array, or any number of them, of different sizes and kinds."""

LARGEST_BATCH = 64
"""Images in one call of the compiled network. Fewer are filled up to a power of two, so that there
are at most seven compilations whatever the numbers of images are."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says about images.

    Attributes:
        logits: float32 `[batch, classes]`.
        class_names: The name of each class; its number where names are not known.
    """

    logits: np.ndarray
    class_names: tuple[str, ...]

    @property
    def probabilities(self) -> np.ndarray:
        """float32 `[batch, classes]`; each row sums to 1."""
        powers = np.exp(self.logits - self.logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    @property
    def indices(self) -> np.ndarray:
        """The number of the most probable class of each image, `[batch]`."""
        return self.logits.argmax(-1)

    @property
    def labels(self) -> list[str]:
        """The name of the most probable class of each image."""
        return [self.class_names[index] for index in self.indices]

    def top(self, number: int = 5) -> list[list[tuple[str, float]]]:
        """For each image, the most probable classes with their probabilities, best first.

        Args:
            number: How many; all, where there are fewer classes.

        Raises:
            ValueError: If it is less than 1.
        """
        if number < 1:
            raise ValueError(f"The number of classes to show is at least 1, not {number}.")
        order = np.argsort(-self.logits, axis=-1, kind="stable")[:, :number]
        return [
            [(self.class_names[index], float(row[index])) for index in best]
            for row, best in zip(self.probabilities, order, strict=True)
        ]

    def __repr__(self) -> str:
        best = (f"{name} {probability:.3f}" for ((name, probability),) in self.top(1))
        return f"Prediction({', '.join(best)})"


class Model:
    """A network with its pre-processing and class names. `load` makes it.

    Attributes:
        description: All that was saved with the weights.
        network: The Flax NNX module, in inference mode; it takes prepared images.
    """

    def __init__(self, description: ModelDescription, network: NASNet) -> None:
        self.description = description
        self.network = network
        graph, self._state = nnx.split(network)

        def compiled(function: Callable[[NASNet, jax.Array], Any]) -> Callable[..., Any]:
            return jax.jit(lambda state, images: function(nnx.merge(graph, state), images))

        self._logits = compiled(lambda network, images: network(images))
        self._features = compiled(lambda network, images: network.features(images))
        self._feature_maps = compiled(lambda network, images: network.stage_maps(images))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The name of each class, or `None` where they are not known."""
        return self.description.class_names

    def preprocess(self, images: Images) -> np.ndarray:
        """What the network gets: float32 `[batch, image height, image width, channels]`.

        Raises:
            ValueError: If something in `images` is not an image.
        """
        return np.stack(list(self._prepared(images)))

    def predict(self, images: Images) -> Prediction:
        """Classifies images; one image is a batch of one.

        An iterable is read in parts, so that it may yield more images than fit the memory.

        Raises:
            ValueError: If the network has no classifier, there are no images, or something in
                `images` is not an image.
        """
        names = self._outputs()
        return Prediction(self._apply(self._logits, self._prepared(images)), names)

    def classify(self, prepared: Iterable[np.ndarray]) -> Prediction:
        """Classifies what `preprocess` gave, or the like of it from anywhere.

        Raises:
            ValueError: If the network has no classifier.
        """
        names = self._outputs()
        return Prediction(self._apply(self._logits, iter(prepared)), names)

    def features(self, images: Images) -> np.ndarray:
        """What the classifier reads, float32 `[batch, channels]`.

        Raises:
            ValueError: If there are no images, or something in `images` is not an image.
        """
        return self._apply(self._features, self._prepared(images))

    def feature_maps(self, images: Images) -> list[np.ndarray]:
        """The last map of each size, from the largest to the smallest, as detectors read them.

        Returns:
            A list of `[batch, height, width, channels]`.

        Raises:
            ValueError: If there are no images, or something in `images` is not an image.
        """
        return self._apply(self._feature_maps, self._prepared(images))

    def _outputs(self) -> tuple[str, ...]:
        """The names of the logits."""
        classes = self.description.macro.num_classes
        if classes is None:
            raise ValueError("This network has no classifier. Use features or feature_maps.")
        return self.class_names or tuple(str(number) for number in range(classes))

    def _apply(self, function: Callable[..., Any], prepared: Iterator[np.ndarray]) -> Any:
        parts = []
        while chunk := list(itertools.islice(prepared, LARGEST_BATCH)):
            batch = np.stack(chunk)
            size = 1 << (len(chunk) - 1).bit_length()
            batch = np.pad(batch, ((0, size - len(chunk)), (0, 0), (0, 0), (0, 0)))
            results = jax.device_get(function(self._state, batch))
            parts.append(jax.tree.map(operator.itemgetter(slice(len(chunk))), results))
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def _prepared(self, images: Images) -> Iterator[np.ndarray]:
        prepare = self.description.preprocessing.apply
        empty = True
        for image in _separate(images):
            empty = False
            yield prepare(self._pixels(image))
        if empty:
            raise ValueError("There are no images.")

    def _pixels(self, image: Picture) -> np.ndarray:
        channels = self.description.preprocessing.channels
        if _is_file(image):
            return open_image(image, channels)
        if isinstance(image, Image.Image):
            return image_pixels(image, channels)
        if image is None or isinstance(image, bytes | dict):
            raise _no_image(image)
        return np.asarray(image)

    def __repr__(self) -> str:
        macro = self.description.macro
        height, width = macro.image_height_width
        penultimate = macro.widths(self.description.architecture)[-1].output
        leaves = jax.tree.leaves(nnx.state(self.network, nnx.Param))
        outputs = f"{macro.num_classes} classes" if macro.num_classes else "features"
        return (
            f"Model(NASNet {macro.num_cells} @ {penultimate}, {height}x{width}x"
            f"{macro.image_channels} -> {outputs}, {sum(leaf.size for leaf in leaves):,} parameters)"
        )


def load(
    path: str | os.PathLike[str], *, fold: bool = False, dtype: jnp.dtype | None = None
) -> Model:
    """Loads a trained network onto this process's first device.

    Args:
        path: The workdir of a training or of a search, or a model's folder, local or `gs://`.
        fold: Whether to fold batch normalization into the convolutions, which gives the same
            outputs up to rounding.
        dtype: What the network computes in, for example `jnp.bfloat16` on accelerators; by default
            float32.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no model; the message says what to do.
    """
    description, network = read_network(path, dtype=dtype)
    return Model(description, fold_batch_norm(network) if fold else network)


def _separate(images: Images) -> Iterable[Any]:
    """The images one by one."""
    if _is_file(images) or isinstance(images, Image.Image):
        return [images]
    dimensions = getattr(images, "ndim", None)
    if isinstance(images, Iterable) and not isinstance(images, bytes | dict):
        # Texts, as of a table's column, are paths.
        if dimensions in (None, 4) or _holds_objects(images):
            return images
    if dimensions is None:
        raise _no_image(images)
    if dimensions == 3:
        return [images]
    raise ValueError(
        "Images are [height, width, channels] or [batch, height, width, channels], but this array "
        f"has {dimensions} dimensions."
    )


def _is_file(image: object) -> TypeGuard[str | os.PathLike[str] | IO[bytes]]:
    return isinstance(image, str | os.PathLike) or hasattr(image, "read")


def _holds_objects(images: Any) -> bool:
    return images.ndim == 1 and getattr(images.dtype, "kind", "O") in "OUT"


def _no_image(found: object) -> ValueError:
    return ValueError(
        "Images are arrays, Pillow's images, paths, or several of these, not "
        f"{type(found).__name__}. nasnet_jax.inference.open_image reads a file."
    )
