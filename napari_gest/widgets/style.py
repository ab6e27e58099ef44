"""The dock's style sheet: quiet boxes on napari's own theme, one accent colour for what is next."""

_ACCENT = "#3A8DDE"
_QUIET = "rgba(128, 140, 155, 0.16)"

STYLE = f"""
QFrame#gestStep {{ background: {_QUIET}; border-radius: 8px; }}
QLabel#gestHeading {{ font-size: 13px; font-weight: 600; padding: 4px 2px 2px 4px; }}
QLabel#gestTitle {{ font-weight: 600; }}
QLabel#gestSummary, QLabel#gestHelp {{ color: rgba(160, 168, 178, 255); }}
QLabel#gestLegendTitle {{ font-weight: 500; }}
QLabel#gestBadge {{
    border-radius: 10px; font-weight: 600; font-size: 11px;
    background: rgba(128, 140, 155, 0.35); color: rgba(190, 198, 208, 255);
}}
QLabel#gestBadge[state="next"] {{ background: {_ACCENT}; color: white; }}
QLabel#gestBadge[state="done"] {{ background: rgba(64, 160, 110, 0.85); color: white; }}
QToolButton#gestArrow {{ border: none; background: transparent; }}
QPushButton {{ padding: 4px 6px; }}
QPushButton#gestPrimary:enabled {{ background: {_ACCENT}; color: white; font-weight: 600; }}
QPushButton#gestPrimary:enabled:hover {{ background: #4E9DEB; }}
QPushButton#gestSegment {{ padding: 4px 2px; border-radius: 3px; }}
QPushButton#gestSegment:checked {{ background: {_ACCENT}; color: white; }}
QTableWidget#gestSwatches {{ background: transparent; border: none; }}
QTableWidget#gestSwatches::item {{ padding: 0px 2px; border: none; }}
QProgressBar {{ border: none; border-radius: 3px; background: rgba(128, 140, 155, 0.3); }}
QProgressBar::chunk {{ background: {_ACCENT}; border-radius: 3px; }}
"""
