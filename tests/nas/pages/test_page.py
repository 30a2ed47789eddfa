"""The report as a person would look at it, in a browser, and what must never be in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from controllers.random_search import RandomSearch
from nas import ledger
from nas.errors import UserError
from nas.ledger import FILE, sealed
from nas.pages.page import opened, page, report, write
from nas.plot import _draw_one
from tests.nas.pages.conftest import Browser, searched

EVIL = "<script>window.evil = 1</script><img src=x onerror='window.evil = 1'>\x1b\u202e\ud800"


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all its sections: two searches beside it, a model, failures."""
    place = tmp_path_factory.mktemp("report")
    whole = place / "whole"
    whole.mkdir()
    (whole / FILE).write_bytes((folder / FILE).read_bytes())
    with_model(whole)
    beside = [searched(place / "random", RandomSearch), searched(place / "other", seed=1)]
    write(place / "report.html", report(whole, beside))
    return place / "report.html"


FINISHED = {
    "recipe": {"epochs": 12, "flip": False, "note": EVIL}, "seeds": 3, "ranking": [{}, {}], "random": [],
}  # fmt: skip


def with_model(folder: Path) -> None:
    """A model's folder as `nas finish` and `nas explain` leave it, as far as the report looks at it."""
    explain = folder / "model" / "explain"
    explain.mkdir(parents=True)
    rows = "| what | % |\n| - | - |\n| ours | 97.1 |\n| b | failed |\n| c | 9.5 |\n| d | 1,000 |"
    (folder / "model" / "README.md").write_text(f"# A model\n\n{rows}\n\n## Limits\n\n{EVIL[:-1]}\n")
    (folder / "model" / "metrics.json").write_text(json.dumps(FINISHED))
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(explain / "confusion_matrix.png")
    (explain / "explain.json").write_text(json.dumps(
        {"of": "the 9 test images of digits",
         "pictures": [{"file": "confusion_matrix.png", "caption": f"Of the 9 test images. {EVIL}"}]}
    ))  # fmt: skip
    (explain / "broken.png").write_bytes(b"no picture")


# --- in the browser ---


def test_nothing_complains_and_nothing_is_asked_for(browser: Browser, written: Path) -> None:
    browser.open(written.as_uri())
    assert browser.complaints() == []
    assert browser.asked() == [written.as_uri()]


@pytest.mark.parametrize("section", ["rewards", "networks", "size", "learnt", "health", "comparison"])
def test_each_picture_is_there_and_not_empty(browser: Browser, written: Path, section: str) -> None:
    browser.open(written.as_uri())
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    count = browser.run(f"document.querySelectorAll('#{section} figure').length")
    assert count > 0
    for number in range(count):
        browser.run(f"document.querySelectorAll('#{section} figure')[{number}].id = 'looked-{section}-{number}'")
        pixels = browser.picture(f"#looked-{section}-{number}")
        ground = pixels[0, -1]
        assert pixels.shape[0] > 80
        assert (pixels != ground).any(2).mean() > 0.01, (section, number)
        assert (np.ptp(pixels, axis=2) > 40).any(), (section, number)  # a colour that is no grey


def test_where_all_choices_together_explain_nothing_for_sure_there_are_no_bars_but_a_sentence(
    folder: Path, explained: Path
) -> None:
    without, bars = report(folder), report(explained)
    assert "networks nothing is said: all choices together explain nothing of the rewards for sure" in without
    assert 'class="bar"' not in without
    assert "nothing is said" not in bars
    assert 'class="bar"' in bars
    assert "explain. A controller asks" in bars.replace("\n", " ")


def test_of_one_network_and_a_controller_without_figures_nothing_is_explained_that_is_not_there(
    folder: Path, tmp_path: Path
) -> None:
    one, many = report(searched(tmp_path / "one", RandomSearch, 1, seed=1)), report(folder)
    for text in ("highest rewards", "two whose intervals", "An entropy", "The advantage is"):
        assert text not in one
    for text in ("The 30 highest rewards, each network once", "two whose intervals", "An entropy"):
        assert text in many
    assert "The advantage is" not in many  # of 44 networks random sampling's best is not foretold


@pytest.mark.parametrize("kind", ["failed", "refused"])
def test_trials_without_a_reward_are_seen_in_the_chart_in_the_colour_of_the_legend(
    browser: Browser, folder: Path, tmp_path: Path, kind: str
) -> None:
    write(tmp_path / "r.html", report(with_refused(folder, tmp_path / "refused")))
    browser.open((tmp_path / "r.html").as_uri())
    browser.run("document.querySelectorAll('#rewards .chart path, #rewards i.x').forEach("
                f"one => one.matches('.{kind}') || one.remove())")  # fmt: skip
    browser.run("document.querySelector('#rewards .area').style.borderColor = 'transparent'")
    coloured = browser.run(f"getComputedStyle(document.querySelector('#rewards .legend .{kind}')).backgroundColor")
    seen = np.abs(browser.picture("#rewards .area") - np.array([int(n) for n in re.findall(r"\d+", coloured)])).max(2)
    assert (seen < 60).sum() > 2 * 8  # two ticks, eight pixels high at least


def test_the_light_card_that_a_picture_of_the_model_lies_on_is_dimmed_in_the_dark(
    browser: Browser, written: Path
) -> None:
    ground = []
    for dark in (False, True):
        browser.open(written.as_uri(), dark=dark)
        ground.append(int(browser.picture("#model .picture")[20, 5].min()))
    assert ground[0] == 255
    assert 150 < ground[1] < 215


def test_the_page_has_one_first_heading_and_none_of_the_others_leaves_a_level_out(
    browser: Browser, written: Path
) -> None:
    browser.open(written.as_uri())
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(levels) == 4  # of the model's card
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_page_says_at_its_end_what_it_is(written: Path) -> None:
    assert "<footer>This page shows the search in the folder whole.</footer>" in written.read_text()


def test_a_picture_of_the_model_is_shown(browser: Browser, written: Path) -> None:
    browser.open(written.as_uri())
    assert browser.run("document.querySelector('#model img').naturalWidth") == 60
    assert "broken.png: found no picture" in browser.run("document.querySelector('#model').innerText")
    assert browser.run("document.querySelector('#model table').rows[1].cells[1].innerText") == "97.1"
    assert browser.run("document.querySelector('#model figcaption').innerText").startswith("Of the 9 test images.")


def test_a_click_shows_a_picture_of_the_model_in_its_full_size(browser: Browser, written: Path) -> None:
    wide = "document.querySelector('#model img').width"
    browser.open(written.as_uri(), 360)
    browser.run("document.querySelector('#model .picture').style.width = '70px'")  # less than the picture and its card
    assert browser.run(wide) < 60
    browser.run("document.querySelector('#model summary').click()")
    assert browser.run(wide) == 60


def test_the_tables_of_a_comparison_can_be_sorted_by_numbers_and_names(browser: Browser, written: Path) -> None:
    browser.open(written.as_uri())
    rows = "[...document.querySelectorAll('#means tbody tr')].map(row => row.cells[{}].innerText)"
    for number, key in ((2, float), (0, str)):
        browser.run(f"document.querySelectorAll('#means th button')[{number}].click()")
        found = browser.run(rows.format(number))
        assert len(found) == 2
        assert found == sorted(found, key=key, reverse=True)
        browser.run(f"document.querySelectorAll('#means th button')[{number}].click()")
        assert browser.run(rows.format(number)) == found[::-1]
    assert browser.run("document.querySelectorAll('#differences th button').length") == 4


def test_what_has_no_number_is_last_however_a_table_is_turned(browser: Browser, written: Path) -> None:
    browser.open(written.as_uri())
    column = "[...document.querySelectorAll('#card-0 tbody tr')].map(row => row.cells[1].innerText)"
    for turned in (["1,000", "97.1", "9.5", "failed"], ["9.5", "97.1", "1,000", "failed"]):
        browser.run("document.querySelectorAll('#card-0 th button')[1].click()")
        assert browser.run(column) == turned


def column(browser: Browser, number: int) -> list[float]:
    script = f"[...document.querySelectorAll('#best tbody tr')].map(row => parseFloat(row.cells[{number}].dataset.by))"
    found: list[float] = browser.run(script)
    return found


def test_the_table_is_sorted_by_a_click_on_a_head_and_turned_by_another(browser: Browser, written: Path) -> None:
    browser.open(written.as_uri())
    assert column(browser, 1) == sorted(column(browser, 1), reverse=True)
    browser.run("document.querySelectorAll('#best th button')[4].click()")
    assert column(browser, 4) == sorted(column(browser, 4), reverse=True)
    browser.run("document.querySelectorAll('#best th button')[4].click()")
    assert column(browser, 4) == sorted(column(browser, 4))
    assert browser.run("document.querySelectorAll('#best th')[4].getAttribute('aria-sort')") == "ascending"


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, written: Path, width: int) -> None:
    browser.open(written.as_uri(), width)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.run("document.documentElement.scrollWidth") == width


def test_what_is_dark_is_dark(browser: Browser, written: Path) -> None:
    browser.open(written.as_uri(), dark=True)
    assert browser.picture("h1")[0, -1].max() < 60
    assert browser.picture("#networks .drawing .box").mean() < 100
    browser.look(1280, dark=False)
    assert browser.picture("h1")[0, -1].min() > 230


def test_a_point_of_the_front_says_its_trial_when_it_has_the_focus(browser: Browser, written: Path) -> None:
    browser.open(written.as_uri())
    browser.run("document.querySelector('.point.front').focus()")
    said = browser.run(
        "[...document.querySelectorAll('.tip')].filter(tip => tip.offsetWidth).map(tip => tip.innerText)"
    )
    assert len(said) == 1
    assert re.fullmatch(r"trial \d+: [\d.]+ %, [\d,]+ parameters", said[0])


def forged(folder: Path, out: Path) -> Path:
    """The ledger of a search whose every text is hostile."""
    header, trials = ledger.read(folder)
    hostile = dict.fromkeys(("space", "controller", "data", "reward", "cpu", "gpu", "fingerprint", "stop"), EVIL)
    recipe = {**header["recipe"], EVIL: EVIL}
    lines = [sealed({**header, **hostile, "recipe": recipe, "parameters": {EVIL: EVIL}, "versions": {EVIL: EVIL}})]
    for trial in trials:
        own = ledger._as_line(trial)
        lines.append(sealed({**own, "network": EVIL, "key": EVIL, "error": EVIL if own["error"] else None,
                             "figures": {EVIL[:20]: 0.5}}))  # fmt: skip
    out.mkdir()
    (out / FILE).write_bytes(b"".join(lines))
    return out


def test_what_a_ledger_says_is_text_and_never_runs(browser: Browser, folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "evil.html", report(forged(folder, tmp_path / EVIL[:6].strip("<"))))
    browser.open((tmp_path / "evil.html").as_uri())
    assert browser.run("window.evil") is None
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    assert browser.run("document.querySelectorAll('script').length") == 1
    assert browser.complaints() == []
    assert "<script>window.evil = 1</script>" in browser.run("document.body.innerText")


def test_the_browser_is_told_to_run_nothing_else(browser: Browser, written: Path, tmp_path: Path) -> None:
    spoilt = written.read_text().replace("<main>", "<main><script>window.evil = 1</script>")
    (tmp_path / "spoilt.html").write_text(spoilt)
    browser.open((tmp_path / "spoilt.html").as_uri())
    assert browser.run("window.evil") is None
    assert "Content Security Policy" in browser.complaints()[0]


def test_without_scripts_the_table_is_there(written: Path) -> None:
    rows = re.search(r'<table class="sortable" id="best">(.*?)</table>', written.read_text(), re.DOTALL)
    assert rows is not None
    assert rows[1].count("<tr") == 31
    assert "<button" not in rows[1]


# --- what stands in it ---


def test_a_page_of_thousands_of_trials_is_small(folder: Path, tmp_path: Path) -> None:
    header, trials = ledger.read(folder)
    whole = [trial for trial in trials if trial.scored]
    lines = [sealed({**header, "space": "Own()"})]
    lines += [sealed({**ledger._as_line(whole[n % len(whole)]), "trial": n, "key": f"{n}"}) for n in range(2_000)]
    (tmp_path / FILE).write_bytes(b"".join(lines))
    assert len(report(tmp_path)) < 400_000


def test_the_report_of_one_search_has_no_comparison_and_no_model(folder: Path) -> None:
    text = report(folder)
    assert 'id="comparison"' not in text
    assert 'id="model"' not in text
    assert "trial 0" in text  # of the errors: `judged` lets some fail
    assert "diverged" in text


def test_a_search_beside_itself_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--beside: found .*, which is this search itself, expected another"):
        report(folder, [folder / ".." / folder.name])


def test_the_random_search_that_a_finish_made_is_compared_with(folder: Path, tmp_path: Path) -> None:
    own = cut(folder, tmp_path / "own", lambda lines: lines)
    searched(own / "finish" / "random", RandomSearch)
    text = report(own)
    assert "q-learning − random" in text
    assert report(own, [own / "finish" / "random"]) == text
    cut(own / "finish" / "random", own / "finish" / "random", lambda lines: lines[:9])  # it is still being made
    assert 'id="comparison"' not in report(own)


def test_the_test_images_are_untouched_until_there_is_a_model_that_was_tested(folder: Path, tmp_path: Path) -> None:
    own = cut(folder, tmp_path / "own", lambda lines: lines)
    assert "The search has not touched the test images.</p>" in report(own)
    with_model(own)
    assert "not touched the test images; they were looked at once, for the model below.</p>" in report(own)


def with_refused(folder: Path, out: Path) -> Path:
    """The search, two of its failures refused in place of that."""
    header, trials = ledger.read(folder)
    costs = [trial.trial for trial in trials if trial.result and trial.result.error][:2]
    lines = [ledger._as_line(trial) for trial in trials]
    lines = [line | {"error": "refused: too much"} if line["trial"] in costs else line for line in lines]
    out.mkdir()
    (out / FILE).write_bytes(b"".join(map(sealed, [header, *lines])))
    return out


def test_networks_that_were_refused_have_not_failed(folder: Path, tmp_path: Path) -> None:
    trials = ledger.read(folder)[1]
    failed = sum(trial.error is not None and trial.same_as is None for trial in trials) - 2
    own = with_refused(folder, tmp_path / "refused")
    text = report(own)
    trained = sum(trial.scored for trial in trials)
    assert f"<strong>{trained}</strong>" in text
    assert f"<dd>{trained}</dd>" in text
    assert f"<dd>float32 ({trained})</dd>" in text
    assert f">trained ({trained})</li>" in text
    figure = Figure()
    entries = _draw_one(figure.subplots(), *ledger.read(own))
    said = dict(text[:-1].split(" (") for text, _ in entries if text.endswith(")"))
    assert said == {"trained": f"{trained}", "failed": f"{failed}", "refused": "2",
                    "repeat": f"{sum(trial.same_as is not None for trial in trials)}"}  # fmt: skip
    assert f"repeats, {failed} failed, 2 refused" in text
    assert f"{failed} networks failed: diverged ({failed})." in text
    assert "2 networks were refused before they were trained" in text
    assert f"failed ({failed})</li>" in text
    assert f"repeat ({sum(trial.same_as is not None for trial in trials)})</li>" in text  # those of failures too
    assert "refused (2)</li>" in text


def test_what_was_measured_has_columns_and_fronts_and_what_was_not_has_none(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    assert "latency" not in report(folder)
    assert "peak memory" not in report(folder)
    header, trials = ledger.read(folder)
    lines = [
        ledger._as_line(replace(one, result=replace(
            one.result, latency_ms=(one.trial + 0.25, 0.1, 99.0), batch_latency_ms=(1.0, 1.0, 1.0),
            peak_memory=1024 * (2000 + one.trial))) if one.scored and one.result else one)
        for one in trials
    ]  # fmt: skip
    (tmp_path / FILE).write_bytes(b"".join(map(sealed, [header, *lines])))
    write(tmp_path / "r.html", report(tmp_path))
    browser.open((tmp_path / "r.html").as_uri(), 360)
    texts = "[...document.querySelectorAll('#best {}')].map(cell => cell.innerText)"
    assert browser.run(texts.format("th"))[5:] == ["multiply-adds", "latency, ms", "peak memory, KiB", "seconds"]
    trial = int(browser.run(texts.format("td"))[0])
    assert browser.run(texts.format("td"))[6:8] == [f"{trial + 0.25:.3g}", f"{2000 + trial:,}"]
    assert browser.run("document.querySelectorAll('#size figure').length") == 4
    labels = "[...document.querySelectorAll('#size .label.x')].map(label => label.innerText)"
    assert browser.run(labels)[2:] == ["ms an image", "KiB of peak memory"]
    assert f"trial {trial}: " in (said := browser.run("document.querySelector('#size figure:last-child').textContent"))
    assert f" %, {2000 + trial:,} KiB of peak memory" in said
    assert browser.run("document.documentElement.scrollWidth") == 360  # the table scrolls, not the page
    assert browser.run("(t => t.scrollWidth > t.clientWidth)(document.querySelector('#best').parentElement)")
    assert (browser.picture("#size figure:last-child") != browser.picture("#size figure")[0, -1]).any(2).mean() > 0.01


def test_a_comparison_is_after_networks(written: Path) -> None:
    assert re.search(r"After \d+ networks, failed ones among them: as many as each search has", written.read_text())
    assert "evaluations" not in written.read_text()


def test_the_axis_of_rewards_names_the_reward_as_it_is_typed(folder: Path, tmp_path: Path) -> None:
    header, trials = ledger.read(folder)
    priced = {**header, "reward": "Soft(target=1000000.0, cost='params', alpha=-0.07, beta=-0.07)"}
    (tmp_path / FILE).write_bytes(b"".join(map(sealed, [priced, *map(ledger._as_line, trials)])))
    assert "reward (soft:target=1e6,cost=params)" in report(tmp_path)


def test_ledgers_of_another_space_are_not_compared(folder: Path, tmp_path: Path) -> None:
    header, trials = ledger.read(folder)
    own = [sealed({**header, "space": "Zoph()"}), *(sealed(ledger._as_line(trial)) for trial in trials)]
    (tmp_path / FILE).write_bytes(b"".join(own))
    with pytest.raises(UserError, match="compare searches of the same space"):
        report(folder, [tmp_path])


def cut(folder: Path, out: Path, lines: Callable[[list[bytes]], list[bytes]]) -> Path:
    out.mkdir(exist_ok=True)
    (out / FILE).write_bytes(b"".join(lines((folder / FILE).read_bytes().splitlines(keepends=True))))
    return out


def test_an_unfinished_search_has_a_report_that_says_so(folder: Path, tmp_path: Path) -> None:
    part = cut(folder, tmp_path / "part", lambda lines: lines[:8])
    assert "7 of 60 trials" in report(part)


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_so_few_trials_have_a_report(folder: Path, tmp_path: Path, trials: int) -> None:
    good = [n for n, line in enumerate((folder / FILE).read_bytes().splitlines()) if b'"reward": 0' in line][:trials]
    few = cut(folder, tmp_path / "few", lambda lines: [lines[0], *(lines[n] for n in good)])
    assert "The best networks" in report(few)


def test_an_empty_search_is_told_of(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found no trial with a reward, expected one at least; give it more time"):
        report(cut(folder, tmp_path / "empty", lambda lines: lines[:1]))


def test_a_search_whose_children_all_failed_has_no_report_but_a_page(folder: Path, tmp_path: Path) -> None:
    header, trials = ledger.read(folder)
    lost = [
        sealed(
            {
                **ledger._as_line(trial),
                "reward": None,
                "error": "out of memory: needed 9 GiB",
                "accuracy": [],
                "loss": [],
            }
        )
        for trial in trials
        if trial.result
    ]
    (tmp_path / FILE).write_bytes(b"".join([sealed(header), *lost[:2]]))  # too few to say that the search is failing
    with pytest.raises(UserError, match='the last error is "out of memory: needed 9 GiB": mend what fails'):
        report(tmp_path)
    (tmp_path / FILE).write_bytes(b"".join([sealed(header), *lost]))
    with pytest.raises(UserError, match=r"the search is failing: .*out of memory: needed 9 GiB"):
        report(tmp_path)
    text = page(opened(tmp_path))
    assert "The search is failing" in text
    assert 'id="rewards"' not in text


def test_the_page_is_not_left_half_written(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match="found Is a directory, expected a file that can be written"):
        write(tmp_path / "report.html", "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]
