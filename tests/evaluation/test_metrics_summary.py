from refract.evaluation.measures.metrics_summary import (
    EDIT_ROWS,
    INFRARED_ROWS,
    flat_numbers,
    select_rows,
)

DETAILS = {
    "count": 16,
    "about": {"model": "m", "resamples": 1000},
    "product": {"clip_micro_i": 0.5, "clip_micro_i_crop": 0.4, "clip_micro_i_crop_low": 0.3},
    "gain": {"product": {"histogram_overlap": 0.2, "histogram_overlap_low": 0.1}},
    "background": {"psnr": 40.0, "psnr_low": 39.0, "psnr_high": 41.0},
}


def test_patterns_choose_rows_in_their_own_order_and_no_interval_by_the_way() -> None:
    rows = ("background.psnr", "product.clip*_i_crop", "gain.*.histogram_overlap", "count")
    assert select_rows(DETAILS, rows) == {
        "background": {"psnr": 40.0},
        "product": {"clip_micro_i_crop": 0.4},
        "gain": {"product": {"histogram_overlap": 0.2}},
        "count": 16,
    }
    assert select_rows(DETAILS, ["*_low"])["background"] == {"psnr_low": 39.0}


def test_what_was_not_measured_has_no_row() -> None:
    assert select_rows({"count": 0, "about": {"note": "none"}}, INFRARED_ROWS) == {"count": 0}


def test_texts_and_switches_are_no_metrics() -> None:
    assert dict(flat_numbers({"a": {"b": 1, "c": "text", "d": True, "e": 0.5}})) == {
        "a.b": 1,
        "a.e": 0.5,
    }


def test_both_halves_together_stay_a_readable_table() -> None:
    assert len(EDIT_ROWS) + len(INFRARED_ROWS) <= 36  # some of them exclude each other
