"""What a comparison found: a row for each feature, printed as a table, drawn as a page."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from fairlead.measure.drift.distances import Level, p_text

Correction = Literal["bh", "by", "none"]
TestName = Literal["psi", "chi2", "ks", "cramer_von_mises"]

_PLAIN = ("bins", "reference_counts", "live_counts", "contributions")


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature, live against reference. What does not apply to it, as the order of categories, is NaN.

    psi, psi_corrected, psi_p, level: see `PsiResult`. jensen_shannon, hellinger: from 0 to 1, of the binned counts.
    chi2: of the binned counts. ks, wasserstein, cramer_von_mises: of the numbers themselves, NaN left out; ks_at is the
    smallest value at which the distribution functions are furthest apart. missing_reference, missing_live: shares.
    p_value: of the test the report was asked for; p_adjusted: the same, adjusted for the number of features; drifted:
    whether that is below the report's alpha.
    bins, reference_counts, live_counts, contributions: one for each bin (those of other and missing values only where
    either side has any); the contributions sum to psi.
    """

    feature: str
    kind: str
    n_reference: int
    n_live: int
    missing_reference: float
    missing_live: float
    psi: float
    psi_corrected: float
    psi_p: float
    level: Level
    chi2: float
    chi2_p: float
    jensen_shannon: float
    hellinger: float
    ks: float
    ks_p: float
    ks_at: float
    wasserstein: float
    cramer_von_mises: float
    cramer_von_mises_p: float
    bins: tuple[str, ...] = field(repr=False)
    reference_counts: tuple[int, ...] = field(repr=False)
    live_counts: tuple[int, ...] = field(repr=False)
    contributions: tuple[float, ...] = field(repr=False)
    p_value: float = math.nan
    p_adjusted: float = math.nan
    drifted: bool = False

    def p_of(self, test: TestName) -> float:
        """The p-value of a test; that of chi-square where the values have no order, or where all are missing."""
        p: float = getattr(self, f"{test}_p")
        return self.chi2_p if math.isnan(p) else p

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name, without those of the bins."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _PLAIN}

    def bin_rows(self) -> list[dict[str, Any]]:
        """One row for each bin: feature, bin, counts and shares of both sides, contribution."""
        return [
            {
                "feature": self.feature,
                "bin": label,
                "reference": before,
                "live": now,
                "reference_share": before / self.n_reference,
                "live_share": now / self.n_live,
                "contribution": part,
            }
            for label, before, now, part in zip(
                self.bins, self.reference_counts, self.live_counts, self.contributions, strict=True
            )
        ]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Live data against a reference, a row for each feature, in the order of the reference.

    rows: the features. test: whose p-values were adjusted. correction: 'bh' (Benjamini-Hochberg), 'by' (Benjamini-
    Yekutieli) or 'none'. alpha: the share of false alarms among the features called drifted that is put up with.

    `print(report)` shows a table, `report.rows_as_dicts()` is for a data frame, `report.save("drift.html")` draws it.

    >>> import fairlead as fl
    >>> reference = fl.drift.fit({"age": range(1000), "plan": ["basic", "plus"] * 500})
    >>> report = reference.compare({"age": range(300, 1300), "plan": ["basic", "plus"] * 500})
    >>> report.drifted
    ('age',)
    >>> report["age"].level, report["plan"].psi
    ('major', 0.0)
    """

    rows: tuple[FeatureDrift, ...]
    """The features, in the order of the reference; `report["age"]` is one of them."""
    test: TestName
    """Whose p-values were adjusted: 'psi', 'chi2', 'ks' or 'cramer_von_mises'."""
    correction: Correction
    """For the number of features: 'bh', 'by' or 'none'."""
    alpha: float
    """The false discovery rate below which a feature is called drifted."""

    @property
    def drifted(self) -> tuple[str, ...]:
        """The features whose adjusted p-value is below alpha."""
        return tuple(row.feature for row in self.rows if row.drifted)

    def __getitem__(self, feature: str) -> FeatureDrift:
        for row in self.rows:
            if row.feature == feature:
                return row
        raise KeyError(feature)

    def __iter__(self) -> Iterator[FeatureDrift]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def worst_first(self) -> list[FeatureDrift]:
        """The rows, those with the smallest adjusted p-value first, then by index."""
        return sorted(self.rows, key=lambda r: (not r.drifted, math.isnan(r.p_adjusted), r.p_adjusted, -r.psi))

    def rows_as_dicts(self) -> list[dict[str, Any]]:
        """A dict for each feature, as for pandas.DataFrame(...)."""
        return [row.as_dict() for row in self.rows]

    def bin_rows(self) -> list[dict[str, Any]]:
        """A dict for each bin of each feature."""
        return [line for row in self.rows for line in row.bin_rows()]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the bins, by name."""
        return {
            "test": self.test,
            "correction": self.correction,
            "alpha": self.alpha,
            "drifted": list(self.drifted),
            "rows": self.rows_as_dicts(),
        }

    def headline(self) -> str:
        """One sentence: how many features drifted, by which rule."""
        rule = {"bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli", "none": "no correction"}[self.correction]
        return (
            f"{len(self.drifted)} of {len(self.rows)} features drifted "
            f"(p-values of {self.test}, {rule}, alpha {self.alpha:g})."
        )

    def __repr__(self) -> str:
        some = [*self.drifted[:5], *(["…"] if len(self.drifted) > 5 else [])]
        found = f"{len(self.drifted)} of {len(self.rows)} features drifted"
        return f"DriftReport({found}{': ' if some else ''}{', '.join(some)})"

    def __str__(self) -> str:
        head = [
            "feature",
            "kind",
            "live",
            "missing",
            "PSI",
            "corrected",
            "level",
            "p",
            "adjusted",
            "KS",
            "JS",
            "W1",
            "",
        ]
        lines = [head, *(_line(row) for row in self.worst_first())]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        left = {0, 1, 6, 12}
        table = [
            "  ".join(
                c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([self.headline(), "", *(line.rstrip() for line in table)])

    def html(self, *, title: str = "Drift") -> str:
        """One self-contained page: the table, and for the worst features reference against live with contributions."""
        from fairlead.measure.drift.picture import render

        return render(self, title)

    def save(self, path: str | os.PathLike[str], *, title: str = "Drift") -> None:
        """Write the page of `html` to a file, in UTF-8. Raises OSError where it cannot be written."""
        Path(path).write_text(self.html(title=title), encoding="utf-8", newline="\n")

    def _repr_html_(self) -> str:
        from html import escape

        # A frame of its own, as the page's style sheet would change the notebook around it.
        frame = '<iframe title="drift report" style="width:100%;height:42rem;border:0" srcdoc="'
        return f'{frame}{escape(self.html())}"></iframe>'


def _line(row: FeatureDrift) -> list[str]:
    return [
        row.feature if len(row.feature) <= 28 else row.feature[:27] + "…",
        row.kind,
        f"{row.n_live:,}",
        f"{row.missing_live:.1%}",
        f"{row.psi:.4f}",
        f"{row.psi_corrected:.4f}",
        row.level,
        p_text(row.p_value),
        p_text(row.p_adjusted),
        "-" if math.isnan(row.ks) else f"{row.ks:.3f}",
        f"{row.jensen_shannon:.3f}",
        "-" if math.isnan(row.wasserstein) else f"{row.wasserstein:.3g}",
        "drifted" if row.drifted else "",
    ]
