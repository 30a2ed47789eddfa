"""What is put into the card's tables; the whole card is looked at in test_finish."""

from nas.model.card import _limits, markdown, ranking


def test_a_cell_with_a_bar_stays_one_cell() -> None:
    assert markdown(("a", "b"), [("x|y", "1")]) == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


def test_a_ranked_network_shows_each_seed_and_what_failed() -> None:
    ranked = {"name": "trial 3", "accuracy": 0.5, "interval": [0.4, 0.6], "accuracies": [0.45, 0.55], "error": None}
    assert ranking([ranked]) == [["trial 3", "50.00", "40.00–60.00", "45.00, 55.00"]]
    assert ranking([ranked | {"error": "diverged"}])[0][3] == "45.00, 55.00; a seed failed: diverged"


def test_a_card_says_that_nothing_was_calibrated_and_what_measures_it() -> None:
    limits = " ".join(_limits({"search": {"networks": 5}}))
    assert "were not calibrated by this program; `nas explain` measures how far off they are." in limits
