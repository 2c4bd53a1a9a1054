"""Worker: Keras' NASNet-Mobile on the backend of `KERAS_BACKEND`, in its quickest common form."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from worker import Run, serve

SIZE = 224
TRIALS = 3


def prepare(settings: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    model = keras.applications.NASNetMobile(
        input_shape=(SIZE, SIZE, 3), weights=None, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    batches = {
        batch: rng.uniform(-1, 1, (batch, SIZE, SIZE, 3)).astype(np.float32)
        for batch in settings["batches"]
    }
    forms = inference_forms(model) if settings["mode"] == "inference" else step_forms(model)
    # The quickest form for each batch.
    chosen = {
        batch: min(forms, key=lambda form: seconds(forms[form], images))
        for batch, images in batches.items()
    }

    def run(message: dict[str, Any]) -> dict[str, Any]:
        batch = message["batch"]
        for _ in range(message["times"]):
            forms[chosen[batch]](batches[batch])
        return {}

    return run, {"keras": keras.__version__, "backend": keras.backend.backend(), "form": chosen}


def inference_forms(model: keras.Model) -> dict[str, Callable[[np.ndarray], object]]:
    """The ways to call a model for its logits."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(lambda images: model(images, training=False))
        compiled = tf.function(lambda images: model(images, training=False), jit_compile=True)
        return {
            "predict_on_batch": model.predict_on_batch,
            "tf.function": lambda images: function(tf.constant(images)).numpy(),
            "tf.function with jit_compile": lambda images: compiled(tf.constant(images)).numpy(),
        }
    import jax

    @jax.jit
    def logits(trainable: Any, fixed: Any, images: Any) -> Any:
        return model.stateless_call(trainable, fixed, images, training=False)[0]

    return {
        "predict_on_batch": model.predict_on_batch,
        "jax.jit": lambda images: np.asarray(
            logits(values(model.trainable_variables), values(model.non_trainable_variables), images)
        ),
    }


def values(variables: list[Any]) -> list[Any]:
    """The arrays of variables; anew for each call, since `predict_on_batch` replaces them."""
    return [variable.value for variable in variables]


def step_forms(model: keras.Model) -> dict[str, Callable[[np.ndarray], object]]:
    """One training step with momentum, as `fit` makes it."""
    model.compile(
        optimizer=keras.optimizers.SGD(0.01, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return {"train_on_batch": lambda images: model.train_on_batch(images, np.zeros(len(images)))}


def seconds(call: Callable[[np.ndarray], object], images: np.ndarray) -> float:
    """The least of a few calls, after one that compiles."""
    call(images)
    found = []
    for _ in range(TRIALS):
        started = time.perf_counter()
        call(images)
        found.append(time.perf_counter() - started)
    return min(found)


if __name__ == "__main__":
    serve(prepare)
