from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from nas.pages.drawing import style
from nas.pages.learnt import Importance, Importances, Preference, Step
from nas.pages.tiles import importance, path, preference, stacked
from tests.nas.pages.conftest import Browser

SVG = "{http://www.w3.org/2000/svg}"


def texts(image: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(image).iter(f"{SVG}text")]


def one(options: int, shares: list[list[float]]) -> Preference:
    names = tuple(f"o{number}" for number in range(options))
    return Preference(
        "width", names, np.arange(9, 9 + len(shares)), np.array(shares), np.full(options, 1 / options), 30
    )


def test_the_last_shares_stand_beside_their_areas() -> None:
    said = texts(preference(one(2, [[0.5, 0.5], [0.25, 0.75]])))
    assert said == ["width", "30 answers in the last window", "o0 25 %", "o1 75 %", "random", "trial 9", "share", "10"]


def test_the_rarest_of_many_options_are_one() -> None:
    shares = [[0.13] * 6 + [0.08, 0.07, 0.07]]
    said = texts(preference(one(9, shares)))
    assert "3 others 22 %" in said
    assert "o5 13 %" in said
    assert not any("o6" in text for text in said)


def test_each_colour_has_a_label_apart_from_the_others_also_where_its_share_is_small() -> None:
    tile = preference(one(7, [[0.0] * 5 + [0.03, 0.97]]))
    assert [text for text in texts(tile) if text[0] == "o"] == [f"o{n} 0 %" for n in range(5)] + ["o5 3 %", "o6 97 %"]
    marks = list(ElementTree.fromstring(tile).iter(f"{SVG}rect"))
    assert [rect.get("class") for rect in marks] == [f"o{n}" for n in range(7)]
    places = np.array([float(rect.get("y", "")) for rect in marks])
    assert (np.diff(places) >= 12).all()
    assert places[0] > 24
    assert places[-1] < 112


def check_no_text_meets_another(browser: Browser, file: Path, drawings: str) -> None:
    """In any of the drawings, nor the dot of a path."""
    file.write_text(f"<style>{style()}</style>{drawings}")
    browser.open(file.as_uri())
    boxes = np.array(browser.run(
        "[...document.querySelectorAll('svg')].flatMap(image => { const left = image.getBoundingClientRect().x;"
        "return [...image.querySelectorAll('text:not([transform]), .chosen')].map(one => { "
        "const b = one.getBoundingClientRect(); return [b.x - left, b.y + 2, b.right - left, b.bottom - 2]; }) })"
    ))  # fmt: skip
    assert boxes[:, 2].max() <= 329
    for number, (left, top, right, bottom) in enumerate(boxes):
        rest = np.delete(boxes, number, axis=0)
        apart = (rest[:, 0] >= right) | (rest[:, 2] <= left) | (rest[:, 1] >= bottom) | (rest[:, 3] <= top)
        assert apart.all(), number


def test_long_names_are_shortened_until_they_meet_no_other_text(browser: Browser, tmp_path: Path) -> None:
    long = "module_of_mine.sandwich_of_maxima"
    share = one(2, [[0.0, 1.0]])._replace(options=(f"{long} #1", f"{long} #2"), question="kind")
    step = Step("width of the middle 12", long, {"8": 0.8, long: -0.75})
    check_no_text_meets_another(browser, tmp_path / "a.html", f"{preference(share)}{path([step], 'Q-value')}")


def test_how_many_questions_of_a_path_are_left_out_meets_no_other_text(browser: Browser, tmp_path: Path) -> None:
    step = Step("width 1", "16", {"8": 0.25, "16": 0.75})
    check_no_text_meets_another(browser, tmp_path / "a.html", str(path([step] * 76, "probability")))


def test_an_option_that_a_limit_keeps_out_has_no_label() -> None:
    kept = one(3, [[0.5, 0.5, 0.0]])._replace(uniform=np.array([0.5, 0.5, 0.0]))
    assert [text for text in texts(preference(kept)) if text[0] == "o"] == ["o0 50 %", "o1 50 %"]


def test_no_share_is_minus_nothing() -> None:
    found = Importances(50, Importance("all together", -0.001, (-0.004, 0.8)), [])
    assert "0 % (0 to 80)" in texts(importance(found))


def test_where_a_question_was_not_asked_its_shares_stay() -> None:
    assert "o0 25 %" in texts(preference(one(2, [[0.25, 0.75], [np.nan, np.nan]])))


def test_each_preference_has_its_place_in_one_drawing() -> None:
    tile = preference(one(2, [[0.5, 0.5]]))
    root = ElementTree.fromstring(stacked([tile, tile]))
    assert [group.get("transform") for group in root.iter(f"{SVG}g")] == ["translate(0 0)", "translate(0 150)"]


def test_a_bar_is_as_long_as_its_share_and_none_below_zero() -> None:
    image = importance(
        Importances(50, Importance("all together", 0.5, (0.4, 0.8)), [Importance("width", -0.1, (-0.2, 0.1))])
    )
    assert texts(image)[-3:] == ["0", "80 %", "of the rewards’ variance"]
    both, width = ElementTree.fromstring(image).iter(f"{SVG}rect")
    assert float(both.get("width", "")) == 57.5  # 92 pixels are the highest end of an interval, 0.8
    assert float(width.get("width", "")) == 0
    assert "-10 % (-20 to 10)" in texts(image)


def test_a_path_names_each_answer_and_its_value_up_to_thirty_questions() -> None:
    step = Step("width 1", "16", {"8": 0.25, "16": 0.75})
    heads, axis = ["question", "answer", "Q-value"], ["0.25", "0.75", "Q-value"]
    assert texts(path([step], "Q-value")) == [*heads, "width 1", "16", "0.75", *axis]
    assert "… and 10 more questions" in texts(path([step] * 40, "Q-value"))
    (dot,) = ElementTree.fromstring(path([step], "Q-value")).iter(f"{SVG}circle")
    assert float(dot.get("cx", "")) == 204  # of the strip from 112 to 204, its end
