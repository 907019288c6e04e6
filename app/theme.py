"""Colours, sizes and fonts: calm, high in contrast, nothing from the network."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def make_theme() -> gr.themes.Base:
    """Gradio's plain theme in the blue of Okabe and Ito's palette, with the system's own fonts."""
    blue = gr.themes.Color(
        c50="#eef6fb", c100="#d6e9f5", c200="#aed4ec", c300="#7dbbe0", c400="#3d97cb",
        c500="#0072b2", c600="#00639b", c700="#005282", c800="#014267", c900="#07344f",
        c950="#052235", name="okabe_blue",
    )  # fmt: skip
    theme = gr.themes.Base(
        primary_hue=blue,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
        font=FONT,
        font_mono=MONO,
    )
    return theme.set(
        button_primary_background_fill="*primary_500",
        button_primary_background_fill_hover="*primary_600",
        button_primary_text_color="#ffffff",
        button_large_text_size="17px",
        block_label_text_size="14px",
        block_info_text_size="13px",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_800",
        block_label_text_color_dark="*neutral_100",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_border_width="0px",
        block_padding="0px",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        button_border_width="1px",
        button_medium_text_size="15px",
        button_medium_text_weight="500",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
    )
