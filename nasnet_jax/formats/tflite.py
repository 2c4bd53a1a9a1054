"""A trained network as one file for LiteRT, once TensorFlow Lite: phones, and devices without Python.

TensorFlow converts what JAX compiled. Its converter folds and fuses; weights stay float32.
"""

from __future__ import annotations

import tempfile

from nasnet_jax.formats.stablehlo import json_bytes, on_pixels
from nasnet_jax.inference.model import Model
from nasnet_jax.platform import usual_arithmetic


@usual_arithmetic()
def tflite_files(model: Model) -> dict[str, bytes]:
    """The file, and beside it `.json` on how to use it.

    Its input is `images`, uint8 `[batch, height, width, channels]` of the network's size.
    """
    import tensorflow as tf
    from jax.experimental import jax2tf

    preprocessing = model.description.preprocessing
    shape = (None, *preprocessing.image_size, preprocessing.channels)
    converted = jax2tf.convert(
        on_pixels(model),
        polymorphic_shapes=["(batch, ...)"],
        with_gradient=False,
        # Where convolutions and pooling are one operation each; on a CPU ours are many small ones.
        native_serialization_platforms=["tpu"],
    )
    function = tf.function(
        lambda images: {"logits": converted(images)},
        input_signature=[tf.TensorSpec(shape, tf.uint8, name="images")],
        autograph=False,
    )
    module = tf.Module()
    module.network = function
    with tempfile.TemporaryDirectory() as folder:
        # By way of a file, since signatures, which name input and output, come from there alone.
        signatures = {"serving_default": function.get_concrete_function()}
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, ["serving_default"])
        contents = converter.convert()
    notes = {
        "input": ["batch", *preprocessing.image_size, preprocessing.channels],
        "preprocessing": preprocessing.to_data(),
        "class_names": model.class_names,
    }
    return {"": contents, ".json": json_bytes(notes)}
