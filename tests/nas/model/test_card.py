"""What is put into the card's tables; the whole card is looked at in test_finish."""

from nas.model.card import _limits, markdown


def test_a_cell_with_a_bar_stays_one_cell() -> None:
    assert markdown(("a", "b"), [("x|y", "1")]) == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


def test_a_card_says_that_nothing_was_calibrated_and_what_measures_it() -> None:
    limits = " ".join(_limits({"search": {"networks": 5}}))
    assert "were not calibrated by this program; `nas explain` measures how far off they are." in limits
