"""The upload button takes what the command line reads."""

import gradio as gr

from app.layout import _video_choice


def test_no_kind_of_file_is_kept_out_by_its_name():
    with gr.Blocks():
        _, upload = _video_choice([])
    assert not upload.file_types
