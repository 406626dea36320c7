"""The built site, as files: no warnings, no broken links, nothing from elsewhere, light pages, mended HTML."""

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from site_build import ROOT, build, pages

from recsys_lite import datasets
from recsys_lite.palette import FAMILIES

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from book_site import mend, text_source  # noqa: E402

HEAVIEST_PAGE = 650_000  # bytes
STYLE_SHEET = 16_000


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


def read(site: Path, page: str) -> BeautifulSoup:
    return BeautifulSoup((site / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def broken_links(site: Path) -> list[str]:
    """Links and files inside the site that are missing, and anchors that their page lacks, as "page -> link"."""
    soups = {page: read(site, page.relative_to(site).with_suffix("").as_posix()) for page in site.rglob("*.html")}
    anchors = {page: {tag["id"] for tag in soup.select("[id]")} for page, soup in soups.items()}
    broken = []
    for page, soup in soups.items():
        for tag in soup.select("[href], [src]"):
            link = urlsplit(tag.get("href") or tag.get("src"))
            if link.scheme or link.netloc:
                continue
            target = (page.parent / unquote(link.path)).resolve() if link.path else page
            missing = not target.is_file() or (link.fragment and unquote(link.fragment) not in anchors.get(target, ()))
            if missing:
                broken.append(f"{page.relative_to(site)} -> {link.geturl()}")
    return broken


@pytest.mark.slow
def test_every_page_is_in_the_contents_and_built(site):
    files = [file.relative_to(ROOT) for suffix in ("md", "ipynb") for file in (ROOT / "book").rglob(f"*.{suffix}")]
    aside = re.compile(r"[._].*")
    written = {file.with_suffix("").as_posix() for file in files if not any(map(aside.fullmatch, file.parts[:-1]))}
    assert written == set(pages())
    assert all((site / f"{page}.html").is_file() for page in pages())


@pytest.mark.slow
def test_links_and_anchors_inside_the_site_lead_somewhere(site, tmp_path):
    assert broken_links(site) == []
    shutil.copytree(site / "book", tmp_path / "book")
    with (tmp_path / "book" / "intro.html").open("a", encoding="utf-8") as intro:
        intro.write('<a href="nowhere.html">x</a><a href="appendix/references.html#nowhere">x</a>')
        intro.write('<a href="#nowhere">x</a><img src="nowhere.png">')
    found = [link for link in broken_links(tmp_path) if "nowhere" in link]
    assert len(found) == 4, "a broken link was not noticed"


@pytest.mark.slow
@pytest.mark.parametrize("page", [*pages(), "search", "index"])
def test_a_page_loads_nothing_from_elsewhere(site, page):
    soup = read(site, page)
    loaded = [tag.get("src") or tag["href"] for tag in soup.select("[src], link[href]:not([rel=canonical])")]
    assert [address for address in loaded if re.match(r"(https?:)?//", address)] == []
    styles = " ".join(path.read_text(encoding="utf-8") for path in (site / "_static").rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^\s)]+", styles) == []


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_a_page_is_light(site, page):
    """Its own part: HTML and images. Frame and MathJax weigh 0.85 MB more; test_browser.py measures the whole."""
    images = {(site / page).parent / image["src"] for image in read(site, page).select("img[src]:not([src^='data:'])")}
    weight = sum(file.stat().st_size for file in [site / f"{page}.html", *images])
    assert weight < HEAVIEST_PAGE


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_a_page_says_what_it_is(site, page):
    soup = read(site, page)
    assert soup.html["lang"] == "en"
    assert soup.title.text.strip() and len(soup.select("h1")) == 1
    assert 20 <= len(soup.select_one("meta[name=description]")["content"]) <= 202
    assert soup.select_one("meta[property='og:title']")["content"]
    assert ((site / page).parent / soup.select_one("link[rel=icon]")["href"]).is_file()
    assert [str(image) for image in soup.select("img") if not image.get("alt", "").strip()] == []
    ids = [tag["id"] for tag in soup.select("[id]")]
    assert sorted(ids) == sorted(set(ids))
    assert soup.select_one(".book-nav [aria-current], .brand[aria-current]")


def test_the_cover_page_counts_the_ratings_right():
    n_ratings = len(datasets.movielens().interactions)
    assert f"{n_ratings:,} ratings" in (ROOT / "book" / "intro.md").read_text(encoding="utf-8")


def test_the_style_sheet_is_small_and_in_the_palette_of_the_figures():
    sheet = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    assert len(sheet.encode()) < STYLE_SHEET
    for place, mode in enumerate(("light", "dark")):
        for name, colour in FAMILIES.items():
            if name != "random":  # the floor of every table is no family of the map
                assert re.findall(rf"--{name}: (#\w+);", sheet)[place] == getattr(colour, mode), (name, mode)


def mended(body: str) -> BeautifulSoup:
    return BeautifulSoup(mend(body, Path("."), {}), "html.parser")


def test_a_folded_box_becomes_details_whose_title_opens_it():
    title = '<p class="admonition-title">Solution to <a href="#x">1</a></p>'
    box = mended(f'<div class="dropdown admonition">{title}<p>b</p></div>')
    assert (box.details.summary.text, box.details.p.text, box.summary.a) == ("Solution to 1", "b", None)
    assert mended('<div class="note admonition"><p class="admonition-title">t</p></div>').details is None
    assert mended('<div class="proof dropdown admonition"><p>Since</p></div>').details.summary.text == "Proof"


def test_folded_cells_in_a_row_open_together_in_their_order():
    def cell(code, output=""):
        fold = f'<details class="hide"><summary>Show the code</summary><div class="cell_input">{code}</div></details>'
        return f'<div class="cell tag_hide-input">{fold}{output}</div>'

    shown = '<div class="cell_output">1</div>'
    body = cell("a") + cell("b") + cell("c", shown) + cell("d") + "<p>Words.</p>" + cell("e")
    soup = BeautifulSoup(mend(body, ROOT, {}), "html.parser")
    folds = [[code.text for code in fold.select(".cell_input")] for fold in soup.select("details")]
    assert folds == [["a", "b", "c"], ["d"], ["e"]]
    assert soup.select_one(".cell_output").find_previous("div", class_="cell_input").text == "c"


def test_a_table_gets_one_scrolling_box():
    assert len(mended("<table><tr><td>1</td></tr></table>").select("div.scroll > table")) == 1
    assert mended('<div class="recsys-table"><table></table></div>').select(".scroll") == []


def test_columns_of_words_are_told_from_columns_of_numbers():
    rows = "<tr><th>0</th><td>-1.5%</td><td>Heat</td></tr><tr><th>1</th><td>NaN</td><td>7</td></tr>"
    head = "<thead><tr><th></th><th>n</th><th>film</th></tr></thead>"
    soup = mended(f'<table class="dataframe">{head}<tbody>{rows}</tbody></table>')
    assert [tag.text for tag in soup.select(".words")] == ["film", "Heat", "7"]


def test_an_id_stays_unique():
    soup = mended('<p id="a">1</p><p id="a">2</p><p id="b">3</p>')
    assert [tag.get("id") for tag in soup.select("p")] == ["a", None, "b"]
    parts = mended('<div class="exercise"><section id="exercise-content"><p>1</p></section></div>')
    assert parts.section is None and parts.select("[id]") == []


def test_all_images_but_the_first_wait():
    images = mended('<img src="a.png" alt="a"><img src="b.png" alt="b">').select("img")
    assert [image.get("loading") for image in images] == [None, "lazy"]


def test_suggested_edits_lead_to_the_text_source():
    at = "https://github.com/some/book"
    assert text_source(f"{at}/edit/main/book/a/b.ipynb") == f"{at}/edit/main/book/_source/a/b.md"
    assert text_source(f"{at}/blob/main/book/a/b.ipynb") == f"{at}/blob/main/book/a/b.ipynb"
