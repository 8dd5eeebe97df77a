from __future__ import annotations

from bitpick.conversion.route import reference_of, route
from bitpick.models.model import Format


def names(source, target):
    found = route(source, target)
    return None if found is None else [hop.name for hop in found]


def test_routes():
    assert names(Format.KERAS, Format.PYTORCH) == ["keras → raw_onnx", "raw_onnx → onnx", "onnx → pytorch"]
    assert names(Format.ONNX, Format.ONNX) == []
    assert names(Format.PYTORCH, Format.KERAS) is None


def test_every_source_leads_to_the_reference_and_every_form_comes_from_it_or_leads_there():
    for form in Format:
        assert route(form, Format.ONNX) is not None or route(Format.ONNX, form) is not None


def test_the_reference_is_the_clean_graph_where_there_is_a_way_to_it():
    assert reference_of(Format.EXPORTED) is Format.ONNX
    assert reference_of(Format.LITERT) is Format.LITERT
