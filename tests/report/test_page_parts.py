"""Properties of the page's parts: safe JSON, round axes, honest verdicts, sound tables."""

import json
from collections.abc import Sequence
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.evaluation.edits.evaluation import strength_key
from refract.evaluation.measures.bootstrap import MeanInterval, Resampling, mean_interval
from refract.media.image_sheets import spread
from refract.report.chart_scale import Scale, round_step, spanning
from refract.report.figures import cards
from refract.report.metric_facts import in_order, merit, metric_facts
from refract.report.page import SCRIPTS, STYLES, content_policy, script_json
from refract.report.tables import ItemScores
from refract.report.variants import curve_strength, variant_label

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False, allow_infinity=False)))
def test_script_json_says_the_same_without_a_letter_of_markup(data: dict[str, object]) -> None:
    text = script_json(data)
    assert json.loads(text) == data
    assert text.isascii()
    assert not set("<>&") & set(text)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_scale_spans_its_values_and_its_ticks_lie_inside(values: list[float]) -> None:
    scale = spanning(values, 10, 300)
    assert all(10 <= scale(value) <= 300 for value in values)
    assert all(9.99 <= place <= 300.01 for place, _ in scale.ticks())
    assert [place for place, _ in scale.ticks()] == sorted(place for place, _ in scale.ticks())


@given(st.floats(1e-6, 1e6))
def test_a_round_step_is_the_next_of_1_2_5(least: float) -> None:
    step = round_step(least)
    assert least * (1 - 1e-6) <= step <= least * 2.5 * (1 + 1e-6)
    mantissa = float(f"{step:e}".partition("e")[0])
    assert any(isclose(mantissa, wanted) for wanted in (1, 2, 5))


def test_ticks_print_as_round_numbers() -> None:
    assert [text for _, text in Scale(-0.25, 0.5, 0, 100).ticks(4)] == ["−0.2", "0.0", "0.2", "0.4"]


@given(st.integers(0, 500), st.integers(1, 100))
def test_spread_keeps_order_ends_and_bound(count: int, most: int) -> None:
    places = spread(count, most) if count else []
    assert places == sorted(set(places))
    assert len(places) <= min(count, most)
    if count and most > 1:
        assert (places[0], places[-1]) == (0, count - 1)


@pytest.mark.parametrize("strength", [0.05, 0.3, 1.0, 12.0])
def test_variants_of_the_curve_are_told_from_others(strength: float) -> None:
    assert curve_strength(strength_key(strength)) == strength
    assert curve_strength("sdedit") is None
    assert variant_label(strength_key(strength)) == f"Strength {strength:g}"


def _interval(values: Sequence[float]) -> MeanInterval | None:
    return mean_interval(values, Resampling(200, 0))


def _scores(metric: str, **variants: list[float]) -> ItemScores:
    scores = ItemScores()
    for variant, values in variants.items():
        for item, value in enumerate(values):
            scores.values.setdefault(metric, {}).setdefault(variant, {})[str(item)] = value
    return scores


@pytest.mark.parametrize(
    ("metric", "own", "kind"),
    [
        ("psnr", [22.0, 23.0, 22.5] * 2, "better"),
        ("psnr", [18.0, 17.0, 17.5] * 2, "worse"),
        ("psnr", [18.0, 22.0, 20.0] * 2, "unclear"),
        ("psnr", [22.0] * 5, "unclear"),  # too few items to tell from noise
        ("l1", [18.0, 17.0, 17.5] * 2, "better"),
        ("a metric nobody knows", [22.0, 23.0, 22.5] * 2, "unclear"),
    ],
)
def test_a_verdict_follows_the_paired_interval(metric: str, own: list[float], kind: str) -> None:
    scores = _scores(metric, adapter=own, other=[20.0] * len(own))
    (card,) = cards(scores, "adapter", [], _interval, best_but=["control"])
    assert [verdict.kind for verdict in card.verdicts] == [kind]
    assert "against other" in card.verdicts[0].text


@pytest.mark.parametrize(
    ("own", "kind", "words"),
    [([1.1] * 6, "better", "nearer to 1 by 0.400"), ([0.2] * 6, "worse", "further from 1 by")],
)
def test_where_one_is_the_aim_the_verdict_is_by_distance(
    own: list[float], kind: str, words: str
) -> None:
    scores = _scores("temporal.relative_change", reference=own, plain=[1.5] * 6)
    (card,) = cards(scores, "reference", ["plain", "absent"], _interval)
    assert [verdict.kind for verdict in card.verdicts] == [kind]
    assert words in card.verdicts[0].text


def test_a_control_is_no_rival_and_the_source_shows_only_for_the_product() -> None:
    scores = _scores("psnr", adapter=[20.0], control=[25.0], poor=[5.0], other=[10.0])
    (card,) = cards(scores, "adapter", ["absent"], _interval, best_but=["control"])
    assert [verdict.text.rpartition(" ")[2] for verdict in card.verdicts] == ["other"]
    for metric, rows in (("product.delta_e", 3), ("background.psnr", 2)):
        scores = _scores(metric, reference=[1.0], plain=[2.0], source=[3.0], s050=[4.0])
        (card,) = cards(scores, "reference", ["plain", "source"], _interval)
        assert len(card.plot.rows) == rows
        assert len(card.verdicts) == rows - 1


def test_pairs_are_by_item_not_by_place() -> None:
    scores = _scores("psnr", adapter=[30.0, 10.0])
    scores.values["psnr"]["other"] = {"1": 9.0, "0": 29.0}
    (card,) = cards(scores, "adapter", [], _interval, best_but=["control"])
    assert card.verdicts[0].text.startswith("+1.00 dB [+1.00, +1.00]")


def test_key_figures_come_first_and_unknown_ones_last() -> None:
    facts = in_order(["unheard.of", "product.clip_i", "psnr", "ssim"])
    assert [f.key for f in facts] == ["psnr", "ssim", "product.clip_i", "unheard.of"]
    assert metric_facts("unheard.of").label == "unheard: of"


@given(NUMBERS, NUMBERS)
def test_more_merit_is_better(a: float, b: float) -> None:
    assert (merit(metric_facts("psnr"), a) > merit(metric_facts("psnr"), b)) == (a > b)
    assert (merit(metric_facts("l1"), a) > merit(metric_facts("l1"), b)) == (a < b)


def test_a_value_that_rounds_to_nothing_has_no_sign() -> None:
    assert metric_facts("psnr").text(-0.001) == "0.00"
    assert metric_facts("psnr").text(-1.5) == "−1.50"


def test_another_script_has_another_policy() -> None:
    assert content_policy("a", "b") != content_policy("a", "c")
    assert all(name.endswith(".js") for name in SCRIPTS)
    assert all(name.endswith(".css") for name in STYLES)
