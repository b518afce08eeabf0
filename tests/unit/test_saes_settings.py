"""The settings of one point: read back, and refused in words."""

import json

import pytest

from correct_l0.errors import InputError
from correct_l0.saes.settings import parse_settings
from correct_l0.study.config import Config
from correct_l0.study.plan import Plan
from saes_toy import settings


def test_what_is_read():
    text = '{"d_sae":32,"l0":4.5,"training":{"batch_tokens":128,"lr":0.01,"training_tokens":25600}}'
    parsed = parse_settings(text)
    assert (parsed.d_sae, parsed.l0, parsed.steps, parsed.decay_steps) == (32, 4.5, 200, 0)
    assert parsed.training.engine == "fused"


def test_the_plan_writes_what_is_read(default_study):
    study = Config.model_validate(default_study)
    parsed = parse_settings(Plan(study).settings_sae("16"))
    assert parsed.training == study.training(16)
    assert (parsed.d_sae, parsed.l0) == (study.saes.d_sae, 16.0)


@pytest.fixture
def default_study():
    return {
        "study": "toy",
        "activations": {
            "cache": "toy",
            "model": {"source": "somewhere"},
            "hook_name": "blocks.0.hook_resid_post",
            "d_in": 16,
            "text": {"source": "sae-probes"},
            "training_tokens": 10_000,
            "held_out_tokens": 10_000,
        },
        "saes": {
            "d_sae": 512,
            "l0": [8, 16],
            "training": {"training_tokens": 9000},
            "overrides": {16: {"lr": 0.5, "engine": "saelens"}},
        },
        "decoder_metrics": {"n": [100]},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (settings(training_tokens=100), "l0 4.5: training_tokens 100 is below batch_tokens 128"),
        (
            settings(lr_warm_up_steps=201),
            "lr_warm_up_steps 201 and 0 steps of decay exceed the 200",
        ),
        (
            settings(lr_warm_up_steps=101, lr_decay_fraction=0.5),
            "lr_warm_up_steps 101 and 100 steps of decay exceed the 200 steps",
        ),
        (settings(l0=0.005), "l0 0.005: a batch of 128 tokens selects no latent"),
    ],
)
def test_refused_in_one_line(text, message):
    assert json.loads(text)
    with pytest.raises(InputError, match=message) as error:
        parse_settings(text)
    assert "\n" not in str(error.value)
