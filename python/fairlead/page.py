"""One self-contained HTML page: what the reports of a replay and of drift have in common.

A page asks nothing of the network, runs no script and follows the reader's light or dark mode.
"""

from __future__ import annotations

from html import escape

from fairlead.svg import CHART_CSS

PAGE_CSS = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:960px;margin:0 auto;padding:3.5rem 1.5rem 4rem;overflow-wrap:anywhere}
h1{font-size:1.9rem;line-height:1.2;letter-spacing:-.015em;margin:.2rem 0 1rem}
h2{font-size:1.2rem;margin:3.4rem 0 .3rem}
h3{font-size:.85rem;font-weight:600;margin:0}
.over{color:var(--soft);font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;margin:0}
.lead{font-size:1.22rem;line-height:1.5;max-width:46rem;margin:0 0 1.8rem}
.caption,figcaption{color:var(--soft);font-size:.9rem;max-width:46rem;margin:.2rem 0 0}
figure{margin:0 0 1.2rem}
.facts{display:flex;flex-wrap:wrap;gap:1rem 2.4rem;margin:0;padding:1rem 0;
border:solid var(--faint);border-width:1px 0}
.facts dt{color:var(--soft);font-size:.8rem}
.facts dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto;margin:1.2rem 0 0}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.38rem .55rem;white-space:nowrap;vertical-align:top;
border-bottom:1px solid var(--faint)}
thead th{color:var(--soft);font-weight:500;vertical-align:bottom;white-space:normal;overflow-wrap:normal}
tbody th{font-weight:400}
.name{text-align:left;max-width:17rem;overflow:hidden;text-overflow:ellipsis}
.why{text-align:left;width:100%;white-space:normal}
.best{font-weight:650}
.chosen th,.chosen td{background:var(--wash)}
.note{color:var(--soft);font-weight:400}
.lead+.facts{margin-top:0}
.caption+.lead{margin-top:1rem}
.wide+.caption{margin-top:1.8rem}
.does{white-space:normal;min-width:14rem}
.small{font-size:.8rem}
.warn{color:color-mix(in srgb,var(--c2) 70%,var(--ink));font-weight:600}
.chip::before{content:"";display:inline-block;width:.55em;height:.55em;border-radius:50%;margin-right:.6em;
background:currentColor;vertical-align:.06em}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:1.4rem;
margin:1.2rem 0 .4rem}
.panel{display:flex;flex-direction:column;justify-content:flex-end}
.glossary{display:grid;grid-template-columns:max-content 1fr;
gap:.4rem 1.4rem;font-size:.9rem}
.glossary dd{margin:0;color:var(--soft)}
@media (max-width:640px){
main{padding:2rem 1rem 3rem}
h1{font-size:1.5rem}
.lead{font-size:1.08rem}
.name{max-width:9.5rem}
.panels{grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:1rem .6rem}
.glossary{grid-template-columns:1fr;gap:0}
.glossary dd{margin-bottom:.6rem}}
@media print{
main{max-width:none;padding:0}
h2{break-after:avoid;margin-top:2rem}
table{font-size:.7rem}
th,td{padding:.25rem .35rem}
.name{max-width:11rem}
.panels{grid-template-columns:repeat(3,1fr)}
figure,tr,.panel{break-inside:avoid}}
"""


def render(over: str, title: str, header: str, body: str, *, css: str = "") -> str:
    """The page: a few words ``over`` the title, what stands under it, and the sections (both HTML)."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        '<meta name="color-scheme" content="light dark"/>'
        f"<title>{escape(title)}</title>\n<style>{CHART_CSS}{PAGE_CSS}{css}</style></head>\n<body><main>\n"
        f'<header><p class="over">{escape(over)}</p><h1>{escape(title)}</h1>\n{header}</header>\n'
        f"{body}</main></body></html>\n"
    )


def section(heading: str, body: str) -> str:
    """A part of the page under a heading."""
    return f"<section><h2>{heading}</h2>{body}</section>\n"


def figure(drawing: str, caption: str) -> str:
    """A drawing with its caption."""
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"
