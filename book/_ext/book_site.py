"""Keeps the built site small, self-contained and accessible: what pages load, and the HTML that others emit.

Jupyter Book brings a theme with 1.5 MB of icons, a second script for every feature and links to content networks.
`_templates/layout.html` replaces the theme's frame; this extension chooses the files a page loads, and mends the body.
"""
import re
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree

from bs4 import BeautifulSoup
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset_file

STYLES = ("pygments.css", "book.css")
MATHJAX_PARTS = ("core.js", "input/tex.js", "output/chtml.js", "output/chtml/fonts/tex.js", "a11y/assistive-mml.js")
# no menu: it alone is 426 kB
MATHJAX_OPTIONS = {"loader": {"load": ["input/tex", "output/chtml", "a11y/assistive-mml"]}}
NUMBER = re.compile(r"[-+−–±\d.,%\s]*|nan|[-+]?inf|\d\.?\d*e[-+]\d+", re.IGNORECASE)
UNUSED_STATIC = ("images", "locales", "scripts", "styles", "vendor")  # copied by the theme, loaded by no page
INDEX = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0; url={first}"></head>
<body><main><h1>{title}</h1><p><a href="{first}">Open the book</a></p></main></body>
</html>
"""


def configure(app: Sphinx, config) -> None:
    """MathJax in its parts, from the installed package; merged with what MyST sets for math delimiters."""
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {**(config.mathjax3_config or {}), **MATHJAX_OPTIONS}
    book = Path(app.confdir) / "book"
    ours = sorted([*book.glob("_ext/*.py"), *book.glob("_static/*.*")])
    config.book_site_files = sha256(b"".join(file.read_bytes() for file in ours)).hexdigest()


def prepare_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Fill the variables of `layout.html`: files to load, description, contents, links, and the mended body."""
    has_math = 'class="math' in context.get("body", "")
    context["css_files"] = [sheet for sheet in context["css_files"] if _name(sheet) in STYLES]
    context["script_files"] = [script for script in context["script_files"]
                               if _name(script) == "book.js" or (has_math and _is_mathjax(script))]
    context["description"] = (context.get("meta") or {}).get("description") or _first_paragraph(doctree)
    nav = context["toctree"](maxdepth=2, collapse=False, titles_only=True, includehidden=True) or ""
    context["book_nav"] = nav.replace(' aria-level="2"', "").replace(' role="heading"', "").replace(
        'class="current reference internal"', 'class="current reference internal" aria-current="page"')
    context["cover_url"] = f"{app.config.html_baseurl.rstrip('/')}/_static/cover.png"
    context["page_links"] = _page_links(context)
    mark = (Path(app.confdir) / app.config.html_favicon).read_text(encoding="utf-8")
    context["mark"] = mark[mark.index(">") + 1:mark.rindex("</svg>")]
    if "body" in context and doctree is not None:
        context["body"] = mend(context["body"], Path(app.srcdir), app.builder.images)


def mend(body: str, source: Path, images: dict[str, str]) -> str:
    """Boxes fold as <details>, folded cells in a row as one, wide tables scroll, images know their size, repeated ids go."""
    soup = BeautifulSoup(body, "html.parser")
    for box in soup.select(".admonition.dropdown"):
        title = box.select_one(".admonition-title")
        if title is None:  # a proof comes without one
            title = soup.new_tag("p", attrs={"class": "admonition-title"}, string="Proof")
            box.insert(0, title)
        for link in title.select("a"):
            link.unwrap()  # a click on the title opens the box, it does not lead away
        box.name, title.name = "details", "summary"
    for summary in soup.select("summary[aria-label]"):
        del summary["aria-label"]  # "Toggle hidden content" hid the visible words from screen readers
    for cell in soup.select(".cell.tag_hide-input"):
        _take_in_folded(cell)
    for part in soup.select(".proof > section, .exercise > section, .solution > section"):
        part.name = "div"  # a section without a heading, with the same id in every box
        del part["id"]
    for box in soup.select(".citation-list[role]"):
        del box["role"]  # "list", but its children are no list items
    for table in soup.select("table"):
        if not table.find_parent(class_=["scroll", "recsys-table"]):
            table.wrap(soup.new_tag("div", attrs={"class": "scroll"}))
        del table["border"]
        _mark_words(table)
    seen = set()
    for tag in soup.select("[id]"):
        if tag["id"] in seen:
            del tag["id"]
        seen.add(tag.get("id"))
    sources = {name: path for path, name in images.items()}  # of the file that the page shows
    for place, image in enumerate(soup.select("img")):
        path = source / sources.get(image.get("src", "").rsplit("/", 1)[-1], "")
        if path.suffix == ".png" and "width" not in image.attrs and "style" not in image.attrs:
            with Image.open(path) as picture:
                image["width"], image["height"] = picture.size  # the page does not jump when the picture arrives
        if place:
            image["loading"] = "lazy"
    return str(soup)


def _take_in_folded(cell) -> None:
    """Folded cells right above that show nothing move into this cell's fold: one thing to open, not five."""
    fold = cell.select_one(":scope > details.hide")
    above = cell.find_previous_sibling()
    while fold and above and "tag_hide-input" in above.get("class", []) and not above.select_one(".cell_output"):
        for code in reversed(above.select(".cell_input")):
            fold.summary.insert_after(code)
        above.decompose()
        above = cell.find_previous_sibling()


def _mark_words(table) -> None:
    """pandas sets every column to the right; columns of words get the class "words" and stand at the left."""
    rows = [row.select("td") for row in table.select("tbody tr")] if "dataframe" in table.get("class", []) else []
    for place, column in enumerate(zip(*rows)):
        if not all(NUMBER.fullmatch(cell.text.strip()) for cell in column):
            heads = table.select("thead tr:first-child th")[-len(rows[0]):]
            for cell in (*column, *heads[place:place + 1]):
                cell["class"] = [*cell.get("class", []), "words"]


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Copy the parts of MathJax in use, drop what no page loads, make index.html a proper page."""
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    fonts = [path.relative_to(mathjax).as_posix() for path in mathjax.glob("output/chtml/fonts/woff-v2/*")]
    extensions = [path.relative_to(mathjax).as_posix() for path in mathjax.glob("input/tex/extensions/*.js")]
    for name in ("startup.js", *MATHJAX_PARTS, *fonts, *extensions):
        target = static / "mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_asset_file(str(mathjax / name), str(target.parent))
    for name in UNUSED_STATIC:
        rmtree(static / name, ignore_errors=True)
    for template in static.glob("*webpack-macros.html"):
        template.unlink()
    index = INDEX.format(first=f"{app.config.root_doc}.html", title=app.config.html_title)
    (Path(app.outdir) / "index.html").write_text(index, encoding="utf-8")


def _name(asset) -> str:
    return str(getattr(asset, "filename", None) or asset or "").rsplit("/", 1)[-1].split("?")[0]


def _is_mathjax(script) -> bool:
    inline = getattr(script, "attributes", {}).get("body") or ""
    return "/mathjax/" in str(script.filename) or inline.startswith("window.MathJax")


def _first_paragraph(doctree: nodes.document | None) -> str:
    """The page's question: its first paragraph, in at most 200 characters."""
    paragraph = next(doctree.findall(nodes.paragraph), None) if doctree is not None else None
    text = " ".join(paragraph.astext().split()) if paragraph is not None else ""
    return text if len(text) <= 200 else text[:200].rsplit(" ", 1)[0] + " …"


def _page_links(context: dict) -> list[dict[str, str]]:
    """The notebook behind the page, and where a repository is configured, the theme's launch and edit links."""
    links = []
    if context.get("page_source_suffix") == ".ipynb":
        notebook = context["pathto"](f"_sources/{context['sourcename']}", 1)
        links.append({"url": notebook, "text": "Download the notebook"})
    for group in context.get("header_buttons", []):
        if group.get("label") in ("launch-buttons", "source-buttons"):
            buttons = [button for button in group["buttons"] if "url" in button]
            links += [{"url": text_source(button["url"]), "text": button["text"]} for button in buttons]
    return links


def text_source(link: str) -> str:
    """Edits belong in the text behind a notebook: .../edit/main/book/a/b.ipynb -> .../edit/main/book/_source/a/b.md."""
    return re.sub(r"(/edit/.*?book/)(.*)\.ipynb$", r"\1_source/\2.md", link)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("book_site_files", "", "html")  # when style, script or extension change, all pages are written
    app.add_css_file("book.css")
    app.add_js_file("book.js", loading_method="defer")
    app.connect("config-inited", configure, priority=900)
    app.connect("html-page-context", prepare_page, priority=900)
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
