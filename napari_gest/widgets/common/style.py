"""The dock's style sheet: quiet boxes on napari's own theme, one accent colour for what is next."""

_ACCENT = "#3A8DDE"
_GRADES = ("well", "partly", "hardly", "untold")  # of a check; words and symbols say them too
_ON_DARK = ("#5CC78F", "#E5B04B", "#F08A6B", "#A0A8B2")
_ON_LIGHT = ("#1B7A4B", "#8A5A00", "#B03A1E", "#565E6A")
_QUIET = "rgba(128, 140, 155, 0.16)"


def style_sheet(light: bool = False) -> str:
    """Return the style sheet for a dark or a light theme."""
    quiet = "#565E6A" if light else "#A0A8B2"
    grades = dict(zip(_GRADES, _ON_LIGHT if light else _ON_DARK, strict=True))
    graded = "".join(
        f'QLabel#gestGrade[grade="{grade}"] {{ color: {color}; font-weight: 600; }}\n'
        for grade, color in grades.items()
    )
    check = f"theme_{'light' if light else 'dark'}:/check.svg"  # an icon of napari's
    return (
        f"{_STYLE}\nQLabel#gestSummary, QLabel#gestHelp {{ color: {quiet}; }}\n"
        f"{graded}"
        f'QTableWidget::indicator:checked {{ image: url("{check}"); }}\n'
    )


_STYLE = f"""
QFrame#gestStep {{ background: {_QUIET}; border-radius: 8px; }}
QLabel#gestHeading {{ font-size: 13px; font-weight: 600; padding: 4px 2px 2px 4px; }}
QLabel#gestTitle {{ font-weight: 600; }}
QLabel#gestLegendTitle {{ font-weight: 500; }}
QLabel#gestBadge {{
    border-radius: 10px; font-weight: 600; font-size: 11px;
    background: rgba(118, 128, 142, 0.75); color: white;
}}
QLabel#gestBadge[state="next"] {{ background: {_ACCENT}; color: white; }}
QLabel#gestBadge[state="done"] {{ background: rgba(64, 160, 110, 0.85); color: white; }}
QFrame#gestFolding {{ background: transparent; }}
QPushButton#gestFold {{ border: none; background: transparent; text-align: left; }}
QPushButton#gestFold:focus {{ text-decoration: underline; }}
QToolButton#gestMore {{ border: none; background: transparent; padding: 0px; }}
QToolButton#gestArrow {{ border: none; background: transparent; }}
QPushButton {{ padding: 4px 6px; }}
QPushButton#gestPrimary:enabled {{ background: {_ACCENT}; color: white; font-weight: 600; }}
QPushButton#gestPrimary:enabled:hover {{ background: #4E9DEB; }}
QPushButton[advised="true"]:enabled {{ background: {_ACCENT}; color: white; }}
QPushButton#gestSegment {{ padding: 4px 2px; border-radius: 3px; }}
QPushButton#gestSegment:checked {{ background: {_ACCENT}; color: white; }}
QPushButton::menu-indicator {{ subcontrol-position: right center; right: 6px; }}
QTableWidget#gestSwatches {{ background: transparent; border: none; }}
QTableWidget#gestSwatches::item {{ padding: 0px 2px; border: none; }}
QTableWidget::indicator {{ width: 12px; height: 12px; border-radius: 2px; background: {_QUIET}; }}
QTableWidget::indicator {{ border: 1px solid rgba(128, 140, 155, 0.5); }}
QProgressBar {{ border: none; border-radius: 3px; background: rgba(128, 140, 155, 0.3); }}
QProgressBar::chunk {{ background: {_ACCENT}; border-radius: 3px; }}
"""
