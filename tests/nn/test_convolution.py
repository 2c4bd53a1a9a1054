"""The convolution is lax's, in values and in both gradients, wherever it runs."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nasnet_jax.nn.convolution import LAYOUT, convolution

KERNELS = [(1, 1), (1, 3), (3, 1), (1, 7), (7, 1), (3, 3), (5, 5), (7, 7)]
# (kernel, dilation, depthwise): every form that the operations need.
FORMS = [(kernel, 1, False) for kernel in KERNELS]
FORMS += [((3, 3), 2, False)]
FORMS += [((size, size), 1, True) for size in (3, 5, 7)]
FORMS += [((1, 3), 1, True)]  # Shorter than a stride of 2: some positions are under no tap.


def lax_convolution(x, w, strides, padding, *, rhs_dilation=(1, 1), feature_group_count=1):
    return lax.conv_general_dilated(
        x,
        w,
        strides,
        padding,
        rhs_dilation=rhs_dilation,
        dimension_numbers=LAYOUT,
        feature_group_count=feature_group_count,
    )


def draw(kernel: tuple[int, int], size: tuple[int, int], depthwise: bool):
    rng = np.random.default_rng(0)
    channels, features = (3, 3) if depthwise else (2, 3)
    images = rng.normal(size=(2, *size, channels))
    weights = rng.normal(size=(*kernel, 1 if depthwise else channels, features))
    return jnp.asarray(images), jnp.asarray(weights)


def value_and_gradients(function, x, w):
    """The result and the gradients of a random linear function of it."""
    y, vjp = jax.vjp(function, x, w)
    return y, *vjp(jnp.asarray(np.random.default_rng(1).normal(size=y.shape)))


def assert_same(found, expected) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        scale = float(jnp.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10 * scale)


@pytest.mark.parametrize("size", [(7, 8), (8, 9)], ids=["7x8", "8x9"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "dilation", "depthwise"), FORMS)
def test_values_and_gradients_are_those_of_lax(kernel, dilation, depthwise, stride, padding, size):
    with jax.enable_x64(True):
        x, w = draw(kernel, size, depthwise)
        arguments = {
            "strides": (stride, stride),
            "padding": padding,
            "rhs_dilation": (dilation, dilation),
            "feature_group_count": x.shape[-1] if depthwise else 1,
        }
        found = value_and_gradients(functools.partial(convolution, **arguments), x, w)
        expected = value_and_gradients(functools.partial(lax_convolution, **arguments), x, w)
        assert_same(found, expected)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_padding_as_numbers(kernel):
    with jax.enable_x64(True):
        x, w = draw(kernel, (6, 7), False)
        arguments = {"strides": (1, 2), "padding": ((2, 1), (0, 3))}
        found = value_and_gradients(functools.partial(convolution, **arguments), x, w)
        expected = value_and_gradients(functools.partial(lax_convolution, **arguments), x, w)
        assert_same(found, expected)


# One for each of the three forms that a CPU computes.
@pytest.mark.parametrize(
    ("kernel", "depthwise"), [((1, 1), False), ((3, 3), False), ((3, 3), True)]
)
def test_in_scan(kernel, depthwise):
    with jax.enable_x64(True):
        x, w = draw(kernel, (5, 6), depthwise)
        w = w if depthwise else w[..., :2]  # as many channels out as in
        groups = x.shape[-1] if depthwise else 1

        def thrice(one_convolution, x, w):
            def step(carry, scale):
                carry = one_convolution(
                    carry, scale * w, (1, 1), "SAME", feature_group_count=groups
                )
                return carry, None

            return lax.scan(step, x, jnp.arange(1.0, 4.0))[0]

        found = value_and_gradients(functools.partial(thrice, convolution), x, w)
        expected = value_and_gradients(functools.partial(thrice, lax_convolution), x, w)
        assert_same(found, expected)


def test_in_switch():
    with jax.enable_x64(True):
        x, w = draw((3, 3), (5, 6), False)

        def chosen(one_convolution, index, x, w):
            branches = [
                lambda x, w: one_convolution(x, w[:1, :1], (2, 2), "SAME"),
                lambda x, w: one_convolution(x, w, (2, 2), "SAME"),
                lambda x, w: one_convolution(x, w, (2, 2), "SAME", rhs_dilation=(2, 2)),
            ]
            return lax.switch(index, branches, x, w)

        for number in range(3):
            index = jnp.asarray(number)
            found = value_and_gradients(functools.partial(chosen, convolution, index), x, w)
            expected = value_and_gradients(functools.partial(chosen, lax_convolution, index), x, w)
            assert_same(found, expected)


def test_bfloat16_stays_bfloat16():
    x, w = draw((3, 3), (5, 6), False)
    y, dx, dw = (
        out.dtype
        for out in jax.eval_shape(
            lambda x, w: (
                convolution(x, w, (1, 1), "SAME"),
                *jax.grad(lambda x, w: convolution(x, w, (1, 1), "SAME").sum(), (0, 1))(x, w),
            ),
            x.astype(jnp.bfloat16),
            w.astype(jnp.bfloat16),
        )
    )
    assert (y, dx, dw) == (jnp.bfloat16,) * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lhs_dilation": (2, 2)}, "no lhs_dilation"),
        ({"precision": lax.Precision.HIGHEST}, "no lhs_dilation, precision"),
        ({"dimension_numbers": ("NCHW", "HWIO", "NHWC")}, "takes the layout"),
        ({"feature_group_count": 2}, "one for each of the 4 channels, not 2"),
    ],
)
def test_what_it_does_not_do_is_an_error(arguments, message):
    x, w = jnp.zeros((1, 5, 5, 4)), jnp.zeros((3, 3, 2, 4))
    with pytest.raises(ValueError, match=message):
        convolution(x, w, (1, 1), "SAME", **arguments)
