"""What is put into the card's tables; the whole card is looked at in test_finish."""

from nas.model.card import _limits, _named, markdown


def test_a_cell_with_a_bar_stays_one_cell() -> None:
    assert markdown(("a", "b"), [("x|y", "1")]) == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


def test_a_card_says_that_nothing_was_calibrated_and_what_measures_it() -> None:
    limits = " ".join(_limits({"search": {"networks": 5}}))
    assert "were not calibrated by this program; `nas explain` measures how far off they are." in limits


def test_classes_are_named_and_of_many_the_first() -> None:
    assert _named(["cat", "`dog`\n## x"]) == "`cat`, `'dog' ## x`"
    said = _named([f"c{number}" for number in range(1_100)])
    assert said.startswith("`c0`, `c1`, ")
    assert said.endswith(", `c29` and 1,070 more")
