from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from bitpick.conversion import rounding

RNG = np.random.default_rng(0)
REFERENCE = RNG.normal(size=(128, 7, 5)).astype(np.float32)
STUDY = Path(__file__).parents[2] / "benchmarks" / "hop_tolerance.py"


def noise(scale, like=REFERENCE):
    return (like + RNG.normal(0, scale, like.shape)).astype(np.float32)


def test_a_millionth_is_rounding_and_a_ten_thousandth_is_not():
    assert rounding.alike((REFERENCE,), (noise(1e-6),))
    assert not rounding.alike((REFERENCE,), (noise(1e-4),))


def test_one_unlucky_number_or_sample_does_not_tip_it():
    outputs = noise(1e-7)
    outputs[3, 1, 2] += 3e-4
    outputs[5] += 5e-5
    assert rounding.alike((REFERENCE,), (outputs,))


@pytest.mark.parametrize("place", [(3,), np.s_[:, 2], np.s_[:, :, 4], np.s_[:, 0, 0], np.s_[::8]])
def test_a_wrong_sample_channel_position_or_number_does(place):
    outputs = REFERENCE.copy()
    outputs[place] += 1e-2
    assert not rounding.alike((REFERENCE,), (outputs,))


def test_a_small_channel_cannot_hide_beside_large_ones():
    reference = REFERENCE * np.array([640, 640, 640, 640, 1], np.float32)
    outputs = reference.copy()
    outputs[:, :, 4] += 1e-3
    (found,) = rounding.differences((reference,), (outputs,))
    assert found.rms < found.bound < found.channel


def test_small_numbers_have_the_rounding_of_the_large_ones_that_made_them():
    reference = REFERENCE * np.array([1, 1, 1, 1, 0], np.float32)
    outputs = reference.copy()
    outputs[:, :, 4] += 1e-8
    assert rounding.alike((reference,), (outputs,))


def test_each_output_is_held_to_its_own_size():
    small = REFERENCE / 1000
    assert not rounding.alike((REFERENCE, small), (REFERENCE, small + np.float32(1e-6)))
    assert not rounding.alike((REFERENCE,), (REFERENCE, REFERENCE))


def test_whole_numbers_may_turn_at_a_tie():
    classes = RNG.integers(0, 10, (128, 1)).astype(np.float32)
    turned = classes.copy()
    turned[7] += 3
    assert rounding.alike((classes,), (turned,))
    turned[:16] += 1
    assert not rounding.alike((classes,), (turned,))


def test_infinities_and_no_numbers_must_be_in_the_same_places():
    reference = REFERENCE.copy()
    reference[0, 0, :3] = [np.inf, -np.inf, np.nan]
    assert rounding.alike((reference,), (reference.copy(),))
    assert not rounding.alike((reference,), (REFERENCE,))
    assert not rounding.alike((REFERENCE,), (reference,))


def test_half_precision_has_a_bound_of_its_own():
    half = REFERENCE.astype(np.float16).astype(np.float32)
    assert not rounding.alike((REFERENCE,), (half,))
    assert rounding.alike((REFERENCE,), (half,), np.float16)


def test_no_samples_and_no_axes():
    assert rounding.alike((np.zeros((0, 3)),), (np.zeros((0, 3)),))
    assert rounding.alike((np.float32(2),), (np.float32(2),))
    assert not rounding.alike((np.float32(2.5),), (np.float32(2.6),))


def test_the_samples_that_differ_most_come_first():
    outputs = REFERENCE.copy()
    outputs[9] += 1
    outputs[4] += 2
    assert rounding.worst_samples((REFERENCE,), (outputs,), 2).tolist() == [4, 9]


def test_rounding_is_about_as_far_from_exact_on_both_sides():
    exact = REFERENCE.astype(np.float64)
    (found,) = rounding.exactness((noise(1e-4),), (noise(3e-4),), (exact,))
    assert found.passed
    assert found.reference == pytest.approx(1e-4, rel=0.1)
    assert found.outputs == pytest.approx(3e-4, rel=0.1)
    for sides in ((noise(1e-6), noise(1e-4)), (noise(1e-4), noise(1e-6))):  # the exact graph may be either side's
        assert not rounding.exactness(sides[:1], sides[1:], (exact,))[0].passed


def test_one_channel_that_is_far_from_exact_is_enough():
    exact = REFERENCE.astype(np.float64)
    outputs = noise(1e-5)
    outputs[:, 2] += np.float32(2e-4)
    assert not rounding.exactness((noise(1e-5),), (outputs,), (exact,))[0].passed


def test_another_shape_in_float64_is_refused():
    with pytest.raises(ValueError, match=r"\(128, 7, 4\)"):
        rounding.exactness((REFERENCE,), (REFERENCE,), (REFERENCE[:, :, :4],))


@pytest.mark.skipif(not STUDY.exists(), reason="benchmarks/ is not part of the source distribution")
@pytest.mark.parametrize("kind", ["autoencoder", "convolutional", "sequence", "detector"])
def test_sound_networks_pass_and_those_with_a_defect_do_not(kind, tmp_path):
    spec = importlib.util.spec_from_file_location("hop_tolerance", STUDY)
    module = sys.modules["hop_tolerance"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    study = module.Study()
    study.of(getattr(module, kind), 7, True, tmp_path)
    assert not any("refused" in outcome for outcome in study.sound[kind])
    assert study.missed == []
    assert sum(count for each in study.found.values() for outcome, count in each.items() if outcome == "refused") >= 4
