from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from nasnet_jax.space import NASNET_A, cost
from nasnet_jax.train.config import check_config, config_architecture, config_macro, default_config
from nasnet_jax.train.optimizer import learning_rate_schedule

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
IMAGENET_IMAGES = 1_281_167


def load(name: str, *variant: str):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*variant)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("cifar10", 3_383_786),
        ("imagenet_mobile", 5_326_716),
        ("imagenet_large", 88_949_818),
    ],
)
def test_the_published_networks_have_their_published_sizes(name, params):
    config = load(name)
    check_config(config)
    assert config_architecture(config) == NASNET_A
    counted = cost(NASNET_A, config_macro(config))
    assert counted.params + counted.statistics == params


@pytest.mark.parametrize("name", ["digits", "imagenette"])
def test_the_small_configs_are_valid(name):
    config = load(name)
    check_config(config)
    assert config_macro(config).image_height_width == (config.dataset.image_size,) * 2


@pytest.mark.parametrize(
    ("name", "images", "steps", "rate"),
    [
        ("cifar10", 50_000, 937_500, 0.025),
        ("imagenet_mobile", IMAGENET_IMAGES, 250_000, 2.0),
        ("imagenet_large", IMAGENET_IMAGES, 250_000, 1.5),
    ],
)
def test_steps_and_learning_rates_are_the_published_ones(name, images, steps, rate):
    config = load(name)
    per_epoch = images / config.batch_size
    assert config.epochs * per_epoch == pytest.approx(steps, rel=1e-3)
    schedule = learning_rate_schedule(config, total_steps=steps, steps_per_epoch=per_epoch)
    assert float(schedule(0)) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("name", "default", "released"),
    [("cifar10", 0.7, 0.4), ("imagenet_large", 0.7, 0.3), ("imagenet_mobile", 0.0, 0.0)],
)
def test_the_released_variant_drops_as_the_released_code(name, default, released):
    assert load(name).drop_path.final_drop_prob == default
    assert load(name, "released").drop_path.final_drop_prob == released
    assert load(name, "released").drop_path.scale_by_depth
    with pytest.raises(ValueError, match="'released', not 'relased'"):
        load(name, "relased")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0.0}, "epochs must be above 0 and at most 1,000,000, but it is 0.0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"ema_decay": 1.0}, "ema_decay must be at least 0 and below 1"),
        ({"drop_path.final_drop_prob": 1.0}, "final_drop_prob"),
        ({"dtype": "float16"}, "auto, float32, bfloat16, but it is 'float16'"),
        ({"optimizer.name": "adam"}, "momentum, rmsprop"),
        ({"accumulation_steps": 3}, "batch_size .32. must be a multiple of accumulation_steps"),
        ({"accumulation_steps": 2}, "group_size .32. must be 0 or divide .* .16."),
        ({"dataset.image_size": 8}, "auxiliary head"),
        ({"batch_norm.group_size": 33}, "group_size .33."),
    ],
)
def test_bad_values_are_named(changes, message):
    config = default_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=message):
        check_config(config)
