"""Fills Keras' own networks; runs where Keras is: `python keras_peer.py FOLDER NETWORK...`.

Written are, for each network, its weights as `keras_NETWORK.h5` (the form that is published) and
`.weights.h5`, without the classifier as `keras_NETWORK_no_top.h5`, and `keras_NETWORK.npz` with the
logits by image size; and for the readers' tests, files of one small network of each kind of layer, by
itself and within another one.
"""

from __future__ import annotations

import pathlib
import sys

import h5py
import keras
import made_up
import numpy as np
from keras.src.legacy.saving import legacy_h5_format

NETWORKS = {
    "mobile": keras.applications.NASNetMobile,
    "large": keras.applications.NASNetLarge,
}


def fill(model: keras.Model) -> None:
    """Makes up all weights of a model."""
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(made_up.tensor(f"{layer.name}/{weight.name}", tuple(weight.shape)))


def save_published_form(model: keras.Model, file: pathlib.Path) -> None:
    """Writes weights as `save_weights` of Keras 1 and 2 did, in the form that is published."""
    with h5py.File(file, "w") as content:
        legacy_h5_format.save_weights_to_hdf5_group(content, model)


def write_network(folder: pathlib.Path, network: str) -> None:
    logits = {}
    for size in made_up.SIZES[network]:
        keras.utils.clear_session()
        model = NETWORKS[network](
            input_shape=(size, size, 3), weights=None, classifier_activation=None
        )
        fill(model)
        logits[str(size)] = np.asarray(model(made_up.images(size), training=False))
    np.savez(folder / f"keras_{network}.npz", **logits)
    save_published_form(model, folder / f"keras_{network}.h5")
    model.save_weights(folder / f"keras_{network}.weights.h5")
    keras.utils.clear_session()
    headless = NETWORKS[network](
        input_shape=(size, size, 3), weights=None, include_top=False, pooling="avg"
    )
    fill(headless)
    save_published_form(headless, folder / f"keras_{network}_no_top.h5")


def write_small_files(folder: pathlib.Path) -> None:
    """One layer of each kind, with names of the real network."""
    keras.utils.clear_session()
    x = inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, use_bias=False, name="stem_conv1")(x)
    x = keras.layers.BatchNormalization(name="stem_bn1")(x)
    separable = "separable_conv_1_normal_left1_0"
    x = keras.layers.SeparableConv2D(3, 3, use_bias=False, name=separable)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="predictions")(x))
    fill(model)
    save_published_form(model, folder / "small.h5")
    model.save_weights(folder / "small.weights.h5")
    model.compile("adam", "mse")
    model.save(folder / "small.keras")
    outer = keras.Sequential(
        [keras.layers.Rescaling(2.0), model, keras.layers.Dense(4, name="own")]
    )
    outer.build((None, 8, 8, 1))
    outer.compile("adam", "mse")
    save_published_form(outer, folder / "wrapped.h5")
    outer.save(folder / "wrapped.keras")


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    write_small_files(target)
    for name in sys.argv[2:]:
        write_network(target, name)
